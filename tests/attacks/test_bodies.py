"""Attacks by body: sizes, depth, numbers, types, shapes, lengths that lie, doubled names, texts, counts, compression.

Every case ends in the status named, in bounded memory, and
with the same worker serving.
"""

import gzip
import struct
import zlib

import pytest
from tests.attacks.conftest import INFER_BODY
from tests.serving_runs import INFER, PREDICT, events_body, request, statuses

EVENTS = "/v1/events/arrivals"
ROW = b'{"flight_id":"a","distance":500.0,"carrier":"AA"}'
EVENT = events_body({"flight_id": "x", "landed": 5, "carrier": "AA", "arr_delay": 4.0})
MANY = 1_000_000


def rows(*sent):
    return b'{"rows":[' + b",".join(sent) + b"]}"


def with_distance(value):
    return rows(ROW.replace(b"500.0", value))


def tensors(distance, shape=b"[1]", datatype=b"FP64"):
    return (
        INFER_BODY
        .replace(b'"distance","datatype":"FP64"', b'"distance","datatype":"' + datatype + b'"')
        .replace(b'[1],"data":[500.0]', shape + b',"data":' + distance)
    )  # fmt: skip


def names(count):
    """An object of many names, of which the last stands twice."""
    return b"{" + b",".join(b'"%x":1' % number for number in range(count)) + b',"z":1,"z":2}'


class TestSizes:
    """More than is taken, many small things, and many small pieces."""

    def test_a_body_of_a_gigabyte_is_refused_by_what_it_declares(self, target):
        with target.unhurt():
            head = request(PREDICT).replace(b"content-length: 0", b"content-length: %d" % 2**30)
            assert statuses(target.say(head)) == [413]

    def test_a_gigabyte_in_one_chunk_is_refused_as_soon_as_it_is_too_much(self, target):
        head = request(PREDICT).replace(b"content-length: 0", b"transfer-encoding: chunked")
        piece = bytes(1 << 20)
        with target.unhurt():
            assert statuses(target.say(head + b"%x\r\n" % 2**30, *[piece] * 64)) in ([413], [])

    @pytest.mark.parametrize(
        "sent",
        [
            rows(b"1," * 3_900_000 + b"1"), rows(b"{}," * 2_700_000 + b"{}"), rows(b"[]," * 2_700_000 + b"[]"),
            rows(b" " * 8_000_000), rows(ROW[:-1] + b',"x":[' + b"1," * 3_900_000 + b"1]}"),
        ],
        ids=["numbers", "objects", "arrays", "space", "in a row"],
    )  # fmt: skip
    def test_a_body_of_the_largest_size_full_of_the_smallest_things(self, target, sent):
        with target.unhurt():
            assert target.post(PREDICT, sent) in {400, 413}
            assert target.post(EVENTS, sent.replace(b'"rows"', b'"events"')) in {400, 413}

    @pytest.mark.parametrize(
        "sent",
        [
            tensors(b"[" + b"1," * 3_900_000 + b"1]"), tensors(b"[" + b"1," * 3_900_000 + b"1]", b"[4096]"),
            tensors(b"[500]", b"[" + b"1," * 3_900_000 + b"1]"), INFER_BODY.replace(b'["AA"]', b"[" + b'"",' * 2_700_000 + b'""]'),
            b'{"inputs":[' + b'{"name":"","shape":[],"datatype":""},' * 200_000 + INFER_BODY[11:],
            INFER_BODY[:-1] + b',"outputs":[' + b'{"name":""},' * 600_000 + b'{"name":""}]}',
        ],
        ids=["elements", "elements of the largest shape", "dimensions", "texts", "inputs", "outputs"],
    )  # fmt: skip
    def test_a_million_small_parts_of_tensors(self, target, sent):
        with target.unhurt():
            assert target.post(INFER, sent) in {400, 413}

    def test_half_a_million_chunks_of_one_byte(self, target):
        head = request(PREDICT).replace(b"content-length: 0", b"transfer-encoding: chunked")
        with target.unhurt(40):
            assert statuses(target.say(head, b"1\r\na\r\n" * 500_000)) in ([413], [])

    @pytest.mark.parametrize(
        "endless", [b"1;" + b"x" * 20_000_000, b"0\r\nt: " + b"v" * 20_000_000, b"0" * 20_000_000], ids=["extension", "trailer", "size"]
    )  # fmt: skip
    def test_what_comes_beside_a_body_without_end(self, target, endless):
        head = request(PREDICT).replace(b"content-length: 0", b"transfer-encoding: chunked")
        with target.unhurt(40):
            assert statuses(target.say(head, endless)) in ([413], [431], [400], [])


class TestValues:
    """Depth, what is no number, types, long numbers, texts."""

    @pytest.mark.parametrize(
        "value",
        [
            b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[{" * 1_000_000,
            b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"0x10", b"1_000", b"+1", b".5", b"1.", b"01",
            b"true", b'"500"', b"[500.0]", b"{}", b"9" * 400, b"9" * 7_000_000, b"1e" + b"9" * 5_000,
            b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\x00"', b"'a'",
        ],
        ids=lambda value: f"{value[:10]!r}({len(value)})",
    )  # fmt: skip
    def test_in_the_place_of_a_number(self, target, value):
        with target.unhurt():
            assert target.post(PREDICT, with_distance(value)) == 400
            assert target.post(INFER, tensors(b"[" + value + b"]")) == 400
            assert target.post(EVENTS, EVENT.replace(b"4.0", value)) == 400

    def test_thirty_digits_are_the_number_that_float64_comes_next_to_or_refused_where_they_must_be_exact(self, target):
        digits = b"123456789012345678901234567890"
        with target.unhurt():
            assert target.post(PREDICT, with_distance(digits)) == 200
            assert target.post(INFER, tensors(b"[" + digits + b"]", datatype=b"INT64")) == 400
            assert target.post(INFER, tensors(b"[9007199254740993]", datatype=b"INT64")) == 400

    @pytest.mark.parametrize("value", [b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud800"', b"1", b"[]"])
    def test_in_the_place_of_a_text(self, target, value):
        with target.unhurt():
            assert target.post(PREDICT, rows(ROW.replace(b'"AA"', value))) == 400
            assert target.post(INFER, INFER_BODY.replace(b'["AA"]', b"[" + value + b"]")) == 400

    @pytest.mark.parametrize(
        "datatype", ["BOOL", "UINT8", "INT64", "FP16", "FP32", "BYTES", "FP64; DROP", "", "fp64", "OBJECT"]
    )
    def test_a_tensor_of_another_type_than_its_data(self, target, datatype):
        with target.unhurt():
            assert (
                target.post(
                    INFER, tensors(b"[300.5]" if datatype[:2] != "FP" else b'["a"]', datatype=datatype.encode())
                )
                == 400
            )


class TestShapes:
    """Shapes that overflow, or lie about their data."""

    @pytest.mark.parametrize(
        "shape",
        [
            "[]", "[0]", "[-1]", "[2]", "[1,1,1]", "[1,2]", "[0,1]", "[1.0]", "[true]", '["1"]', "[null]", "1", "{}", "null", "[4096]", "[4097]",
            "[9223372036854775807]", "[9223372036854775808]", "[4294967296,4294967296]", "[-9223372036854775808]", "[1e300]",
            "[3037000500,3037000500]", f"[{10**30}]",
        ],
    )  # fmt: skip
    def test_a_shape_that_is_not_that_of_its_data(self, target, shape):
        with target.unhurt(40):
            assert target.post(INFER, tensors(b"[500.0]", shape.encode())) in {400, 413}
            assert target.post(*binary(struct.pack("<d", 500.0), shape=shape.encode())) in {400, 413}


def binary(blob, *, size=None, shape=b"[1]", datatype=b"FP64", head=None):
    """A request with the distance in binary form, as arguments of ``post``."""
    said = b'{"binary_data_size":%b}' % (size if size is not None else b"%d" % len(blob))
    sent = tensors(b"@", shape, datatype).replace(b'"data":@', b'"parameters":' + said)
    length = len(sent) if head is None else head
    return (
        INFER,
        sent + blob,
        b"inference-header-content-length: " + (b"%d" % length if isinstance(length, int) else length),
    )


class TestBinaryLengths:
    """Lengths of the binary extension that lie."""

    def test_a_length_that_is_true_is_taken(self, target):
        assert target.post(*binary(struct.pack("<d", 500.0))) == 200

    @pytest.mark.parametrize(
        "size", [b"0", b"7", b"9", b"16", b"-8", b"8.0", b'"8"', b"true", b"[8]", b"1e1", b"1099511627775", b"18446744073709551616", b"9" * 5000]
    )  # fmt: skip
    def test_of_a_tensor(self, target, size):
        with target.unhurt(40):
            assert target.post(*binary(struct.pack("<d", 500.0), size=size)) == 400

    @pytest.mark.parametrize(
        "head", [0, 1, 200, 10**6, 10**11, b"-1", b"+5", b"5.", b"0x5", b"9" * 40, b"5, 5", b"", b"\xb2"]
    )
    def test_of_the_json_part(self, target, head):
        with target.unhurt(40):
            assert target.post(*binary(struct.pack("<d", 500.0), head=head)) == 400

    @pytest.mark.parametrize(
        "blob",
        [
            b"", b"\x02\x00\x00", b"\x02\x00\x00\x00A", b"\xff\xff\xff\xffAA", b"\x02\x00\x00\x00AA\x00", b"\x00\x00\x00\x00" * 2, b"\x02\x00\x00\x00\xff\xfe",
            b"\x00\x00\x00\x80" + bytes(100), b"\x00\x00\x00\x00" * 500_000,
        ],
        ids=len,
    )  # fmt: skip
    def test_of_a_text_in_a_tensor(self, target, blob):
        sent = INFER_BODY.replace(b'"data":["AA"]', b'"parameters":{"binary_data_size":%d}' % len(blob))
        with target.unhurt(40):
            assert target.post(INFER, sent + blob, b"inference-header-content-length: %d" % len(sent)) == 400

    @pytest.mark.parametrize("datatype", [b"FP16", b"FP32", b"FP64"])
    def test_infinity_in_binary_form_is_no_number_either(self, target, datatype):
        blob = {
            b"FP16": b"\x00\x7c",
            b"FP32": struct.pack("<f", float("inf")),
            b"FP64": struct.pack("<d", float("-inf")),
        }[datatype]
        assert target.post(*binary(blob, datatype=datatype)) == 400


class TestDoubledNames:
    """Which of the two would count?"""

    @pytest.mark.parametrize(
        ("path", "sent"),
        [
            (PREDICT, b'{"rows":[' + ROW + b'],"rows":[' + ROW + b"]}"), (PREDICT, b'{"rows":[' + ROW + b'],"\\u0072ows":[' + ROW + b"]}"),
            (PREDICT, rows(ROW[:-1] + b',"carrier":"UA"}')), (PREDICT, rows(ROW[:-1] + b',"c\\u0061rrier":"UA"}')),
            (INFER, INFER_BODY[:-1] + b',"inputs":[]}'), (INFER, INFER_BODY.replace(b'"shape":[1]', b'"shape":[2],"shape":[1]', 1)),
            (INFER, INFER_BODY.replace(b'"data":[1.0]', b'"data":[2.0],"data":[1.0]')),
            (INFER, INFER_BODY[:-1] + b',"id":"a","id":"b"}'),
            (EVENTS, EVENT.replace(b'"carrier"', b'"carrier":"UA","carrier"')),
        ],
    )  # fmt: skip
    def test_a_name_that_stands_twice(self, target, path, sent):
        with target.unhurt(40):
            assert target.post(path, sent) == 400

    @pytest.mark.parametrize("escape", [b'"\\u0061":1,', b""])
    def test_a_doubled_name_among_a_hundred_thousand_is_found_at_once(self, target, escape):
        """Looking each name up among all would take minutes, with every other request of the worker waiting."""
        many = names(100_000)
        with target.unhurt():
            assert target.post(PREDICT, rows(b"{" + escape + many[1:])) == 400
            assert target.post(INFER, INFER_BODY[:-1] + b',"\\u0078":' + many + b"}") == 400


class TestCompression:
    """Bombs."""

    ZIPPED = b"content-encoding: gzip"

    @pytest.mark.parametrize("levels", [1, 2, 3])
    def test_a_bomb_is_refused_by_what_it_would_become(self, target, levels):
        bomb = bytes(40_000_000)
        for _ in range(levels):
            bomb = gzip.compress(bomb, 9)
        with target.unhurt():
            assert target.post(PREDICT, bomb, self.ZIPPED) in {400, 413}

    @pytest.mark.parametrize(
        "encoding", [b"deflate", b"br", b"zstd", b"compress", b"gzip, gzip", b"x" * 1000, b"gzip;q=1"]
    )
    def test_another_coding_is_not_understood(self, target, encoding):
        with target.unhurt(40):
            assert target.post(PREDICT, zlib.compress(bytes(1000)), b"content-encoding: " + encoding) == 415


class TestNames:
    """Names that nobody knows, long ones and many of them; an error repeats little of them."""

    @pytest.mark.parametrize(
        "name",
        [b"x" * 1_000_000, b"\\u0061" * 1_000_000, b"\xc3\xa9" * 1_000_000, b"distanc", b"__proto__", b"__class__"],
        ids=len,
    )
    def test_that_nobody_knows(self, target, name):
        with target.unhurt():
            for path, sent in (
                (PREDICT, rows(ROW[:-1] + b',"' + name + b'":1}')), (PREDICT, b'{"' + name + b'":[]}'),
                (INFER, INFER_BODY.replace(b'"distance"', b'"' + name + b'"')), (INFER, INFER_BODY[:-1] + b',"outputs":[{"name":"' + name + b'"}]}'),
                (EVENTS, EVENT.replace(b'"carrier"', b'"' + name + b'"')),
            ):  # fmt: skip
                assert target.post(path, sent) == 400

    def test_hundreds_of_thousands_in_one_row(self, target):
        many = b"{" + b",".join(b'"%x":1' % number for number in range(300_000)) + b"}"
        with target.unhurt():
            assert target.post(PREDICT, rows(many)) == 400


class TestForeignForms:
    """Pickles, arrays of objects, multipart without end."""

    @pytest.mark.parametrize(
        "kind",
        [
            b"multipart/form-data; boundary=" + b"-" * 5000, b"multipart/form-data; boundary=a", b"application/x-www-form-urlencoded", b"text/plain",
            b"application/vnd.bentoml+pickle", b"application/octet-stream", b"application/x-npy",
        ],
        ids=lambda kind: kind[:30].decode(),
    )  # fmt: skip
    def test_a_body_that_is_not_json(self, target, kind):
        import numpy as np

        bodies = [b"--a\r\n" * 200_000, b"\x80\x04\x95" + bytes(100), np.lib.format.MAGIC_PREFIX + bytes(100)]
        with target.unhurt():
            for sent in bodies:
                assert target.post(PREDICT, sent, b"content-type: " + kind) in {400, 415}
