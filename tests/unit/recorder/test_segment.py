import pytest
from tests.recording import all_same, batch, prediction

from seakeep.errors import RecorderError
from seakeep.recorder.segment import MAGIC, Header, SegmentReader, add_frame, encode_header, kind_of, weight
from seakeep.records.prediction import Gap

HEADER = Header("w", 3, 17, 40)
GAP = Gap(sequence=2, writer="w", count=7, reason="overflow", from_us=1, to_us=2)


def segment(*records) -> bytes:
    buffer = bytearray(encode_header(HEADER))
    for one in records:
        add_frame(one, buffer)
    return bytes(buffer)


def opened(data: bytes) -> SegmentReader:
    reader = SegmentReader(data, "file")
    reader.header()
    return reader


def test_a_segment_reads_back_what_was_written():
    records = [prediction(1), GAP, batch(3)]
    reader = SegmentReader(segment(*records), "file")
    assert reader.header() == HEADER
    assert all_same(list(reader.records()), records)
    assert reader.offset == len(reader.buffer)
    assert reader.damage == []


def test_kinds_are_told_without_decoding():
    reader = opened(segment(prediction(1), GAP, batch(3)))
    assert [kind_of(payload) for payload in reader.payloads()] == ["p", "g", "e"]
    assert [weight(one) for one in (prediction(1), GAP, batch(3))] == [1, 7, 1]


def test_a_torn_tail_is_left_where_it_begins():
    whole = segment(prediction(1), prediction(2))
    torn = segment(prediction(1), prediction(2), prediction(3))[:-5]
    reader = opened(torn)
    assert [one.sequence for one in reader.records()] == [1, 2]
    assert reader.offset == len(whole)
    assert reader.damage == []
    reader.finish()
    assert (reader.damage[0].offset, reader.damage[0].length) == (len(whole), len(torn) - len(whole))


def test_damage_in_the_middle_is_reported_and_reading_goes_on_behind_it():
    first = len(segment(prediction(1)))
    data = bytearray(segment(prediction(1), prediction(2), prediction(3)))
    data[first + 40] ^= 0x10
    reader = opened(bytes(data))
    assert [one.sequence for one in reader.records()] == [1, 3]
    second = len(segment(prediction(2))) - len(segment())
    assert [(one.file, one.offset, one.length) for one in reader.damage] == [("file", first, second)]


def test_a_damaged_length_does_not_hide_what_follows():
    first = len(segment(prediction(1)))
    data = bytearray(segment(prediction(1), prediction(2), prediction(3)))
    data[first + 7] = 0x7F  # the length now reaches far beyond the file
    reader = opened(bytes(data))
    assert [one.sequence for one in reader.records()] == [1, 3]
    assert len(reader.damage) == 1


def test_a_frame_inside_a_damaged_frame_is_not_taken_for_a_record_without_its_checksum():
    # The text holds the bytes with which a record begins, but not a frame.
    tempting = prediction(2, key="x" * 20 + "\x18¡p" * 5)
    first = len(segment(prediction(1)))
    data = bytearray(segment(prediction(1), tempting, prediction(3)))
    data[first + 9] ^= 0xFF
    assert [one.sequence for one in opened(bytes(data)).records()] == [1, 3]


def test_a_header_that_is_not_whole_yet_is_none():
    data = segment()
    for size in range(len(data)):
        assert SegmentReader(data[:size], "file").header() is None


def test_a_damaged_header_before_records_is_an_error():
    data = bytearray(segment(prediction(1)))
    data[len(MAGIC) + 9] ^= 1
    with pytest.raises(RecorderError, match="damaged header"):
        SegmentReader(bytes(data), "file").header()


@pytest.mark.parametrize("data", [b"PAR1 something else", b"SEAKSEG\x02 a later format"])
def test_other_files_are_refused(data):
    with pytest.raises(RecorderError, match="not a segment of format 1"):
        SegmentReader(data, "file").header()


def test_a_record_that_cannot_be_encoded_leaves_the_buffer_as_it_was():
    buffer = bytearray(segment(prediction(1)))
    before = bytes(buffer)
    for broken in (
        prediction(2, request={"n": 2**70}),
        prediction(2, request={"o": object()}),
        prediction(2, key="\ud800"),
    ):
        with pytest.raises(RecorderError, match="cannot be encoded"):
            add_frame(broken, buffer)
        assert bytes(buffer) == before


def test_fields_of_a_later_release_are_ignored():
    import zlib

    import msgspec

    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(prediction(1)))
    payload = msgspec.msgpack.encode([*fields, "new"])
    body = len(payload).to_bytes(4, "little") + payload
    data = segment() + zlib.crc32(body).to_bytes(4, "little") + body
    assert all_same(list(opened(data).records()), [prediction(1)])


def test_a_whole_frame_that_holds_no_record_is_an_error():
    import zlib

    payload = b"\x92\xa1p\x01"
    body = len(payload).to_bytes(4, "little") + payload
    data = segment() + zlib.crc32(body).to_bytes(4, "little") + body
    with pytest.raises(RecorderError, match="holds no record"):
        list(opened(data).records())
