"""Any bytes at all in the place of a body: they are read, or refused as the client's mistake; nothing else is raised.

Deterministic: what Hypothesis draws is derived from the tests. The bytes are lawful ones, bent, cut and joined.
"""

import json
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serving_rig import Rig, definition

from seakeep.errors import RowError
from seakeep.features.rows import EventDecoder, RequestDecoder
from seakeep.serving.errors import RequestError
from seakeep.serving.v1 import check_rows, parse_events, parse_rows
from seakeep.serving.v2 import parse_infer

MAX_ROWS = 8
LATE, DISTANCE, CARRIER = "carrier_recent.late_1h", "distance", "carrier"
deterministic = settings(max_examples=120, derandomize=True, deadline=None)

NASTY = [
    b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u0061", b"\\ud800", b"null", b"true", b"NaN", b"Infinity", b"1e999", b"-0", b"1.5", b"0", b"9" * 30,
    b"-1", b"9223372036854775808", b"\x00", b"\xff", b"\xed\xa0\x80", b" ", b'"a":', b"[[1]]", b"{}", b"[]", b'"data"', b'"shape"', b'"binary_data_size":',
]  # fmt: skip


@st.composite
def bent(draw, lawful, nasty=NASTY):
    """Lawful bytes, bent at a few places."""
    data = draw(st.sampled_from(lawful))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 12))
        data = data[:at] + draw(st.sampled_from(nasty) | st.binary(max_size=4)) + data[at + cut :]
    return data


def tensor(name, datatype, data, shape=(2,), **more):
    return (
        {"name": name, "datatype": datatype, "shape": list(shape)} | ({"data": data} if data is not None else {}) | more
    )


def size(count):
    return {"parameters": {"binary_data_size": count}}


JSON_INFER = [
    json.dumps({"id": "a", "inputs": [
        tensor(LATE, "FP64", [1.5, None]), tensor(DISTANCE, kind, data, shape), tensor(CARRIER, "BYTES", ["AA", None]),
    ], "outputs": [{"name": "score", "parameters": {"binary_data": True}}]}).encode()
    for kind, data, shape in (
        ("FP64", [500, 600.5], (2,)), ("INT32", [5, -6], (2,)), ("UINT64", [5, 2**53], (2,)), ("BOOL", [True, False], (2,)), ("FP16", [[1], [2]], (2, 1)),
    )
]  # fmt: skip
HEADS = [
    json.dumps({"inputs": [
        tensor(LATE, "FP64", None, **size(16)), tensor(DISTANCE, kind, None, **size(count)), tensor(CARRIER, "BYTES", None, **size(12)),
    ]}).encode()
    for kind, count in (("FP64", 16), ("INT8", 2), ("FP16", 4), ("BOOL", 2), ("UINT64", 16))
]  # fmt: skip
BLOBS = [
    struct.pack("<dd", 1.5, float("nan")) + bytes(count) + struct.pack("<I2sI2s", 2, b"AA", 2, b"UA")
    for count in (16, 2, 4)
]
ROWS = [
    json.dumps({"rows": [{"flight_id": "a", "distance": 500.0, "carrier": carrier}, {"flight_id": "b", "distance": None, "carrier": "UA"}]}).encode()
    for carrier in ("AA", None, "\u00e9", "")
]  # fmt: skip
EVENTS = [
    json.dumps({"events": [{"flight_id": "x", "landed": at, "carrier": "AA", "arr_delay": 4.0}]}).encode()
    for at in (5, "2013-06-01T00:00:00Z")
]


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("fuzz"))
    return rig.load(rig.put(1))


def check(request):
    """What was read of a request is what a model may get."""
    assert 1 <= len(request.numbers) <= MAX_ROWS
    assert not np.isinf(request.numbers).any()
    assert all(type(text) is str for text in request.categories.ravel())


def read_body(version, sent, length):
    refused = None
    try:
        check(parse_infer(sent, length, version, MAX_ROWS))
    except RequestError as error:
        refused = error
    assert refused is None or refused.status in {400, 413}
    assert refused is None or len(refused.message) < 600


class TestInferOverHttp:
    @deterministic
    @given(bent(JSON_INFER))
    def test_in_json(self, version, sent):
        read_body(version, sent, None)

    @deterministic
    @given(
        bent(HEADS),
        bent(BLOBS, [b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\x00"]),
        st.integers(-3, 3) | st.integers(0, 2**40),
    )
    def test_in_binary_form(self, version, head, blob, lie):
        length = max(0, len(head) + (lie if abs(lie) > 3 else 0))
        read_body(version, head + blob, length)


class TestRows:
    @deterministic
    @given(bent(ROWS))
    def test_of_requests(self, sent):
        decoder = RequestDecoder(definition())
        try:
            rows = parse_rows(sent, MAX_ROWS)
            joined = b"[%b]" % b",".join(rows)
            decoded = decoder.decode(joined)
            check_rows(joined, decoded.raw)
        except (RequestError, RowError):
            return
        assert len(decoded.keys) == len(rows) == len(json.loads(sent)["rows"])
        assert np.isfinite(decoded.table["distance"]).sum() == sum(
            row.get("distance") is not None for row in json.loads(sent)["rows"]
        )

    @deterministic
    @given(bent(EVENTS))
    def test_of_events(self, sent):
        chosen = definition()
        source = chosen.label.source
        decoder = EventDecoder(source, chosen.schemas[source.name])
        try:
            columns = decoder.decode(b"[%b]" % b",".join(parse_events(sent, MAX_ROWS)))
        except (RequestError, RowError):
            return
        assert {len(column) for column in columns.values()} == {len(json.loads(sent)["events"])}
        msgspec.msgpack.encode(columns)


def messages():
    """Lawful requests over gRPC: one with typed contents, one with raw ones."""
    from seakeep.serving.grpc.messages import ModelInferRequest

    typed = ModelInferRequest(model_name="late", id="a")
    raw = ModelInferRequest(model_name="late")
    for name, field, datatype, values, blob in (
        (LATE, "fp64_contents", "FP64", [1.5, 2.5], struct.pack("<dd", 1.5, 2.5)),
        (DISTANCE, "int_contents", "INT32", [5, -6], struct.pack("<ii", 5, -6)),
        (CARRIER, "bytes_contents", "BYTES", [b"AA", b""], struct.pack("<I2sI", 2, b"AA", 0)),
    ):
        one = typed.inputs.add(name=name, datatype=datatype, shape=[2])
        getattr(one.contents, field).extend(values)
        raw.inputs.add(name=name, datatype=datatype, shape=[2, 1])
        raw.raw_input_contents.append(blob)
    return [typed.SerializeToString(), raw.SerializeToString()]


def read_message(version, sent):
    from google.protobuf.message import DecodeError

    from seakeep.serving.grpc.inference import read_infer
    from seakeep.serving.grpc.messages import UnreadInferRequest

    try:
        return read_infer(UnreadInferRequest.FromString(sent), version, MAX_ROWS)
    except (DecodeError, RequestError):
        return None


class TestMessagesOfGrpc:
    def test_bent_at_any_place(self, version):
        pytest.importorskip("grpc")
        nasty = [
            b"\x00",
            b"\xff" * 10,
            b"\x7b",
            b"\x7c",
            b"\x2a\x00",
            b"\x3a\x00",
            b"\x0a",
            b"\x12",
            b"\x18" + b"\xff" * 9 + b"\x01",
        ]

        @deterministic
        @given(bent(messages(), nasty))
        def bend(sent):
            request = read_message(version, sent)
            if request:
                check(request)

        bend()

    def test_cut_off_at_every_place(self, version):
        pytest.importorskip("grpc")
        for sent in messages():
            assert read_message(version, sent)
            assert not any(read_message(version, sent[:end]) for end in range(len(sent)))
