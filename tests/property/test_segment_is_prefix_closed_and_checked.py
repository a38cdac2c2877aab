"""Any prefix of a segment reads back a prefix of its records; any changed byte is found."""

import math
import zlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.recording import all_same, prediction

from seakeep.errors import RecorderError
from seakeep.recorder.segment import Header, SegmentReader, add_frame, encode_header, seal_frames
from seakeep.records.prediction import EventBatch, Gap, Prediction, Record
from seakeep.security.envelope import DataKey

text = st.text(st.characters(codec="utf-8"), max_size=12)
number = st.integers(0, 2**63 - 1)
real = st.floats(width=64)
cell = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), real, text)

predictions = st.builds(
    lambda sequence, **changes: (
        prediction(1, **changes) if sequence == 1 else prediction(sequence % 2**40 + 1, **changes)
    ),
    number,
    id=text,
    role=st.sampled_from(["champion", "canary", "shadow", "pinned"]),
    request=st.dictionaries(text, cell, max_size=4),
    numbers=st.lists(real, max_size=5),
    categories=st.lists(text, max_size=3),
    score=real,
    error=text,
)
batches = st.builds(
    EventBatch,
    sequence=number,
    batch=text,
    source=text,
    recorded_us=number,
    columns=st.dictionaries(text, st.lists(cell, max_size=3), max_size=3),
)
gaps = st.builds(
    Gap,
    sequence=number,
    writer=text,
    count=number,
    reason=st.sampled_from(["overflow", "disk", "crash", "invalid"]),
    from_us=number,
    to_us=number,
)
records = st.lists(st.one_of(predictions, batches, gaps), min_size=1, max_size=6)


def segment(made: list[Record]) -> bytes:
    buffer = bytearray(encode_header(Header("w", 1, 2, 3)))
    for one in made:
        add_frame(one, buffer)
    return bytes(buffer)


def read(data: bytes) -> tuple[list[Record], SegmentReader]:
    reader = SegmentReader(data, "file")
    return (list(reader.records()) if reader.header() else []), reader


@given(records)
def test_a_segment_reads_back_every_bit(made):
    found, reader = read(segment(made))
    assert all_same(found, made)
    assert reader.damage == []


@given(records, st.data())
def test_a_prefix_reads_back_a_prefix(made, data):
    whole = segment(made)
    size = data.draw(st.integers(0, len(whole)))
    found, reader = read(whole[:size])
    assert all_same(found, made[: len(found)])
    assert reader.damage == []
    assert reader.offset <= size
    ends = [len(segment(made[:count])) for count in range(len(made) + 1)]
    assert len(found) == sum(end <= size for end in ends[1:])


@given(records, st.data())
def test_a_changed_byte_is_found_and_costs_one_record_at_most(made, data):
    whole = bytearray(segment(made))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        found, reader = read(bytes(whole))
    except RecorderError:
        assert place < len(segment([]))
        return
    reader.finish()
    assert reader.damage, "a sealed segment with a changed byte must not read as whole"
    if place >= len(segment([])):
        kept = [one for one in made if any(msgspec.msgpack.encode(one) == msgspec.msgpack.encode(f) for f in found)]
        assert len(found) >= len(made) - 1
        assert all_same(found, kept) or len({msgspec.msgpack.encode(one) for one in made}) < len(made)


@given(st.lists(real, max_size=8))
def test_missing_values_keep_their_bits(values):
    one = prediction(1, numbers=values)
    (found,), _ = read(segment([one]))
    assert isinstance(found, Prediction)
    assert [math.copysign(1, v) for v in found.numbers] == [math.copysign(1, v) for v in values]


KEY = DataKey(b"k" * 32)
blocks = st.lists(records, min_size=1, max_size=4)


def encrypted(made: list[list[Record]]) -> bytes:
    data = bytearray(encode_header(Header("w", 1, 2, 3)))
    for block in made:
        frames = bytearray()
        for one in block:
            add_frame(one, frames)
        data += seal_frames(memoryview(frames), KEY, len(data))
    return bytes(data)


def decrypted(data: bytes) -> tuple[list[Record], SegmentReader]:
    reader = SegmentReader(data, "file", key=KEY)
    return (list(reader.records()) if reader.header() else []), reader


@given(blocks, st.data())
def test_a_prefix_of_an_encrypted_segment_reads_back_whole_blocks(made, data):
    whole = encrypted(made)
    size = data.draw(st.integers(0, len(whole)))
    found, reader = decrypted(whole[:size])
    count = sum(len(encrypted(made[: number + 1])) <= size for number in range(len(made)))
    assert all_same(found, [one for block in made[:count] for one in block])
    assert reader.damage == []


@given(blocks, st.data())
def test_who_changes_a_byte_of_an_encrypted_segment_and_mends_the_checksum_is_found(made, data):
    whole = bytearray(encrypted(made))
    number = data.draw(st.integers(0, len(made) - 1))
    start, end = len(encrypted(made[:number])), len(encrypted(made[: number + 1]))
    # Behind the tag "x" and the head of the ciphertext's own length, as of a forger who keeps the form.
    place = data.draw(st.integers(start + 8 + 13, end - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    whole[start : start + 4] = zlib.crc32(whole[start + 4 : end]).to_bytes(4, "little")
    found, reader = decrypted(bytes(whole))
    assert [(one.offset, one.length) for one in reader.damage] == [(start, end - start)]
    assert all_same(found, [one for place, block in enumerate(made) if place != number for one in block])


@given(blocks, st.permutations(range(4)))
def test_blocks_that_change_places_are_found(made, order):
    cut = [len(encrypted(made[:number])) for number in range(len(made) + 1)]
    whole = encrypted(made)
    pieces = [whole[cut[place] : cut[place + 1]] for place in order if place < len(made)]
    data = whole[: cut[0]] + b"".join(pieces)
    found, reader = decrypted(data)
    assert (data == whole) or reader.damage
    assert len(found) <= sum(map(len, made))
