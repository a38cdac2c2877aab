"""Tensors in messages mean what they mean in JSON."""

import dataclasses
import json
import struct

import numpy as np
import pytest

from seakeep.records.outputs import Outputs
from seakeep.serving import v2
from seakeep.serving.errors import RequestError, status_of
from seakeep.serving.tensors import DTYPES
from seakeep.serving.v1 import ClassAnswer, RowAnswer, ValueAnswer

pytest.importorskip("grpc")

from seakeep.serving.grpc import inference
from seakeep.serving.grpc.inference import CONTENTS, answer
from seakeep.serving.grpc.messages import ModelInferRequest, UnreadInferRequest

LATE, DISTANCE, CARRIER = "carrier_recent.late_1h", "distance", "carrier"


@pytest.fixture
def version(rig):
    return rig.load(rig.put(3))


def read_infer(message, version, max_rows):
    return inference.read_infer(UnreadInferRequest.FromString(message.SerializeToString()), version, max_rows)


def add(message, name, datatype, values, shape=None, field=None):
    tensor = message.inputs.add(name=name, datatype=datatype, shape=[len(values)] if shape is None else shape)
    getattr(tensor.contents, field or CONTENTS[datatype]).extend(values)


def typed(distance=("FP64", [500, 600.5]), carrier=("BYTES", [b"AA", b""]), **more):
    message = ModelInferRequest(model_name="late", id="r1")
    add(message, LATE, "FP64", [1.5, float("nan")])
    add(message, DISTANCE, *distance, **more)
    add(message, CARRIER, *carrier)
    return message


def alone(shape):
    """All inputs are said to have that shape."""
    message = typed()
    for tensor in message.inputs:
        tensor.shape[:] = shape
    return message


HALVES = np.array([500, 600.5]).tobytes()


def raw(distance=("FP64", HALVES), carrier=(b"AA", b"")):
    message = ModelInferRequest(model_name="late")
    for name, datatype in ((LATE, "FP64"), (DISTANCE, distance[0]), (CARRIER, "BYTES")):
        message.inputs.add(name=name, datatype=datatype, shape=[2, 1])
    texts = b"".join(struct.pack("<I", len(text)) + text for text in carrier)
    message.raw_input_contents.extend([np.array([1.5, np.nan]).tobytes(), distance[1], texts])
    return message


def refusal(version, message, **more):
    with pytest.raises(RequestError) as caught:
        read_infer(message, version, more.get("max_rows", 100))
    return caught.value


def test_typed_and_raw_contents_mean_the_same(version):
    by_value, by_bytes = read_infer(typed(), version, 100), read_infer(raw(), version, 100)
    np.testing.assert_array_equal(by_value.numbers, [[1.5, 500], [np.nan, 600.5]])
    assert by_value.numbers.tobytes() == by_bytes.numbers.tobytes()
    assert by_value.categories.tolist() == by_bytes.categories.tolist() == [["AA"], [""]]
    assert by_value.id == "r1"
    assert by_value.outputs == (("score", False), ("decision", False))
    assert by_bytes.outputs == (("score", True), ("decision", True))


@pytest.mark.parametrize("datatype", [one for one in DTYPES if one != "FP16"])
def test_every_number_type_means_the_same_in_all_three_forms(version, datatype):
    values = [True, False] if datatype == "BOOL" else [1, 100]
    body = {
        "inputs": [
            {"name": LATE, "datatype": "FP64", "shape": [2], "data": [1.5, None]},
            {"name": DISTANCE, "datatype": datatype, "shape": [2], "data": values},
            {"name": CARRIER, "datatype": "BYTES", "shape": [2], "data": ["AA", ""]},
        ]
    }
    by_json = v2.parse_infer(json.dumps(body).encode(), None, version, 100)
    by_value = read_infer(typed((datatype, values)), version, 100)
    by_bytes = read_infer(raw((datatype, np.array(values, DTYPES[datatype]).tobytes())), version, 100)
    assert by_json.numbers.tobytes() == by_value.numbers.tobytes() == by_bytes.numbers.tobytes()


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT8", 128), ("INT8", -129), ("INT16", 2**15), ("UINT8", 256), ("UINT16", 2**16), ("INT64", 2**53 + 1),
        ("INT64", -(2**53) - 1), ("UINT64", 2**64 - 1), ("FP64", float("inf")), ("FP32", float("-inf")),
    ],
)  # fmt: skip
def test_a_number_that_its_type_or_float64_does_not_hold_is_refused(version, datatype, value):
    assert "'distance' has a" in refusal(version, typed((datatype, [value, 0]))).message


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (typed(("FP64", [1.0])), "differ in their number of rows"),
        (typed(shape=[3]), "'distance' has 3"),
        (alone(shape=[3]), "has 2 elements, but its shape needs 3"),
        (typed(shape=[2, 2]), "has shape [2, 2]"),
        (typed(shape=[-1]), "with a negative size"),
        (typed(shape=[]), "has shape []"),
        (typed(("FP64", [1, 2]), field="fp32_contents"), "is 'FP64', but has fp32_contents"),
        (typed(("FP16", [1, 2]), field="fp32_contents"), "is 'FP16', but has fp32_contents"),
        (typed(("FP128", [1, 2]), field="fp64_contents"), "is 'FP128', but has fp64_contents"),
        (typed(("FP16", []), shape=[2], field="fp32_contents"), "travels in raw_input_contents alone"),
        (typed(("FP64", []), shape=[2]), "has 0 elements"),
        (typed(carrier=("BYTES", [b"\xff", b""])), "not UTF-8"),
        (typed(carrier=("FP64", [1, 2])), "is 'FP64', not BYTES"),
        (typed(("BYTES", [b"1", b"2"])), "is 'BYTES', not FP64"),
        (raw(("FP64", bytes(15))), "has 15 bytes, but its shape needs 16"),
        (raw(("BOOL", b"\x02\x00")), "neither 0 nor 1"),
        (raw(carrier=(b"\xff", b"")), "not UTF-8"),
        (ModelInferRequest(), "is missing"),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(version, message, told):
    assert told in refusal(version, message).message


def test_raw_contents_belong_to_all_inputs_or_to_none(version):
    short, both = raw(), raw()
    del short.raw_input_contents[2:]
    assert "3 inputs, but 2 raw contents" in refusal(version, short).message
    both.inputs[1].contents.fp64_contents.extend([1, 2])
    assert "'distance' has both typed and raw contents" in refusal(version, both).message


def test_heads_that_were_read_before_are_not_taken_for_others(version):
    for _ in range(2):
        first = read_infer(raw(), version, 100)
        whole = read_infer(raw(("INT16", np.array([500, 600], "<i2").tobytes())), version, 100)
        turned = raw()
        for name in ("inputs", "raw_input_contents"):
            sent = getattr(turned, name)
            kept = list(sent)[::-1]
            del sent[:]
            sent.extend(kept)
        assert first.numbers.tolist()[1][1] == 600.5
        assert whole.numbers.tolist()[1][1] == 600
        assert read_infer(turned, version, 100).numbers.tobytes() == first.numbers.tobytes()
        assert "has 15 bytes" in refusal(version, raw(("FP64", bytes(15)))).message
        assert "has 17 bytes" in refusal(version, raw(("FP64", bytes(17)))).message
        assert "'distance' has an infinite" in refusal(version, raw(("FP64", np.array([1, np.inf]).tobytes()))).message
    assert 0 < len(version.memory) <= 3


def test_what_is_remembered_of_heads_is_bounded(version):
    for number in range(200):
        asked = raw()
        asked.inputs[0].parameters[f"p{number}"].string_param = "x"
        read_infer(asked, version, 100)
        asked.inputs[0].parameters["long"].string_param = "x" * 10_000
        read_infer(asked, version, 100)
    assert 0 < len(version.memory) <= 64
    assert max(sum(map(len, heads)) for heads in version.memory) < 1000


def test_limits_are_those_of_http(version):
    assert status_of(refusal(version, typed(), max_rows=1)) == 413
    crowd = ModelInferRequest()
    for _ in range(4097):
        crowd.inputs.add()
    assert "more than 4096 inputs" in refusal(version, crowd).message
    twice = typed()
    add(twice, DISTANCE, "FP64", [1, 2])
    assert "'distance' is there twice" in refusal(version, twice).message
    unknown = typed()
    unknown.outputs.add(name="altitude")
    assert "no output 'altitude'" in refusal(version, unknown).message


@pytest.mark.parametrize("ask", [typed, raw])
def test_an_answer_has_the_form_of_its_request(version, ask):
    asked = ask()
    asked.outputs.add(name="decision")
    asked.outputs.add(name="score")
    request = read_infer(asked, version, 100)
    rows = [RowAnswer(f"p{i}", "", score, score > 0.5, 3, ()) for i, score in enumerate((0.25, 0.75))]
    told = answer(request, version, rows)
    assert (told.model_name, told.model_version, told.id) == ("late", "3", request.id)
    assert told.parameters["prediction_ids"].string_param == "p0,p1"
    assert [(one.name, one.datatype, list(one.shape)) for one in told.outputs] == [
        ("decision", "BOOL", [2]), ("score", "FP64", [2]),
    ]  # fmt: skip
    if ask is raw:
        assert [*told.raw_output_contents] == [b"\x00\x01", np.array([0.25, 0.75]).tobytes()]
    else:
        assert not told.raw_output_contents
        assert [*told.outputs[0].contents.bool_contents] == [False, True]
        assert [*told.outputs[1].contents.fp64_contents] == [0.25, 0.75]


@pytest.mark.parametrize("ask", [typed, raw])
def test_a_number_is_answered_with_its_value_alone(version, ask):
    version = dataclasses.replace(version, outputs=Outputs(kind="value"), memory={})
    request = read_infer(ask(), version, 100)
    told = answer(request, version, [ValueAnswer(f"p{i}", "", value, 3, ()) for i, value in enumerate((-2.5, 1e9))])
    assert [(one.name, one.datatype, list(one.shape)) for one in told.outputs] == [("value", "FP64", [2])]
    if ask is raw:
        assert [*told.raw_output_contents] == [np.array([-2.5, 1e9]).tobytes()]
    else:
        assert [*told.outputs[0].contents.fp64_contents] == [-2.5, 1e9]
    wanted = ask()
    wanted.outputs.add(name="decision")
    assert refusal(version, wanted).hint == "outputs: value"


@pytest.mark.parametrize("ask", [typed, raw])
def test_a_class_is_answered_with_its_name_and_a_matrix(version, ask):
    names = ("späť", "b", "c")
    version = dataclasses.replace(version, outputs=Outputs(kind="probabilities", names=names), memory={})
    request = read_infer(ask(), version, 100)
    rows = [(0.5, 0.25, 0.25), (0.125, 0.75, 0.125)]
    answers = [
        ClassAnswer(f"p{i}", "", name, max(row), dict(zip(names, row, strict=True)), 3, ())
        for i, (name, row) in enumerate(zip(names, rows, strict=False))
    ]
    told = answer(request, version, answers)
    assert [(one.name, one.datatype, list(one.shape)) for one in told.outputs] == [
        ("class", "BYTES", [2]),
        ("probabilities", "FP64", [2, 3]),
    ]
    named = [name.encode() for name in names[:2]]
    if ask is raw:
        lengths = b"".join(struct.pack("<I", len(one)) + one for one in named)
        assert [*told.raw_output_contents] == [lengths, np.array(rows).tobytes()]
    else:
        assert [*told.outputs[0].contents.bytes_contents] == named
        assert [*told.outputs[1].contents.fp64_contents] == [value for row in rows for value in row]
    body, head = v2.encode_answer(request, version, answers)
    outputs = json.loads(body[:head])["outputs"]
    assert [one["shape"] for one in outputs] == [[2], [2, 3]]
    if ask is raw:
        assert body[head:] == b"".join(told.raw_output_contents)
    else:
        assert outputs[0]["data"] == list(names[:2])
        assert outputs[1]["data"] == [value for row in rows for value in row]
    wanted = ask()
    wanted.outputs.add(name="score")
    assert refusal(version, wanted).hint == "outputs: class, probabilities"
