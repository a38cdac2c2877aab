import json
import struct

import numpy as np
import pytest

from seakeep.errors import SeakeepError
from seakeep.serving.errors import RequestError, status_of
from seakeep.serving.tensors import MAX_TENSORS
from seakeep.serving.v1 import RowAnswer, refuse_duplicates
from seakeep.serving.v2 import encode_answer, parse_infer

LATE, DISTANCE, CARRIER = "carrier_recent.late_1h", "distance", "carrier"


@pytest.fixture
def version(rig):
    return rig.load(rig.put(3))


def tensor(name, datatype, data=None, shape=None, **more):
    made = {"name": name, "datatype": datatype, "shape": [len(data)] if shape is None else shape, **more}
    return made if data is None else made | {"data": data}


def asked(late=None, distance=None, carrier=None, **more):
    inputs = [
        late or tensor(LATE, "FP64", [1.5, None]),
        distance or tensor(DISTANCE, "FP64", [500, 600.5]),
        carrier or tensor(CARRIER, "BYTES", ["AA", None]),
    ]
    return {"inputs": inputs} | more


def parse(version, request, binary=b"", *, length=None, max_rows=100):
    head = request if isinstance(request, bytes) else json.dumps(request).encode()
    return parse_infer(head + binary, len(head) if binary and length is None else length, version, max_rows)


def refusal(version, request, binary=b"", **more):
    with pytest.raises(RequestError) as caught:
        parse(version, request, binary, **more)
    return caught.value


def packed(*texts):
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def test_columns_come_by_name_in_any_order_and_become_the_model_s_matrix(version):
    request = asked()
    request["inputs"].reverse()
    found = parse(version, request | {"id": "r1"})
    assert found.id == "r1"
    np.testing.assert_array_equal(found.numbers, [[1.5, 500], [np.nan, 600.5]])
    assert (found.numbers.dtype, found.categories.tolist()) == (np.float64, [["AA"], [""]])
    assert found.outputs == (("score", False), ("decision", False))


@pytest.mark.parametrize("data", [[500, 600.5], [[500], [600.5]], [[500.0], [None]]])
def test_a_column_may_have_a_second_dimension_of_one(version, data):
    found = parse(version, asked(distance=tensor(DISTANCE, "FP64", data, [2, 1])))
    assert found.numbers[0, 1] == 500


@pytest.mark.parametrize(
    ("datatype", "code", "values"),
    [
        ("FP64", "f8", [-0.0, 1e308]), ("FP32", "f4", [0.5, -2.25]), ("FP16", "f2", [0.5, 65504]), ("BOOL", "?", [True, False]),
        ("INT8", "i1", [-128, 127]), ("INT16", "i2", [-32768, 32767]), ("INT32", "i4", [-(2**31), 2**31 - 1]),
        ("INT64", "i8", [-(2**53), 2**53]), ("UINT8", "u1", [0, 255]), ("UINT16", "u2", [0, 65535]),
        ("UINT32", "u4", [0, 2**32 - 1]), ("UINT64", "u8", [0, 2**53]),
    ],
)  # fmt: skip
def test_numbers_of_every_type_mean_the_same_in_json_and_in_binary(version, datatype, code, values):
    blob = np.array(values, dtype=f"<{code}").tobytes()
    sized = tensor(DISTANCE, datatype, shape=[2], parameters={"binary_data_size": len(blob)})
    by_json = parse(version, asked(distance=tensor(DISTANCE, datatype, values)))
    by_bytes = parse(version, asked(distance=sized), blob)
    assert by_json.numbers[:, 1].tobytes() == by_bytes.numbers[:, 1].tobytes() == np.array(values, "f8").tobytes()


@pytest.mark.parametrize(
    ("datatype", "code", "value"),
    [
        ("FP64", "f8", np.inf), ("FP32", "f4", -np.inf), ("INT64", "i8", 2**53 + 1), ("INT64", "i8", -(2**53) - 1),
        ("INT64", "i8", -(2**63)), ("UINT64", "u8", 2**53 + 1), ("UINT64", "u8", 2**64 - 1),
    ],
)  # fmt: skip
def test_a_number_that_float64_does_not_hold_is_refused_in_json_and_in_binary(version, datatype, code, value):
    blob = np.array([value, 0], dtype=f"<{code}").tobytes()
    sized = tensor(DISTANCE, datatype, shape=[2], parameters={"binary_data_size": len(blob)})
    assert "'distance' has " in refusal(version, asked(distance=sized), blob).message
    text = json.dumps(asked(distance=tensor(DISTANCE, datatype, [value, 0]))).encode()
    assert status_of(refusal(version, text)) == 400


def test_binary_columns_follow_the_json_in_the_order_of_the_inputs(version):
    texts, numbers = packed(b"AA", "\u00e9".encode()), np.array([1.0, np.nan]).tobytes()
    request = {
        "inputs": [
            tensor(CARRIER, "BYTES", shape=[2], parameters={"binary_data_size": len(texts)}),
            tensor(DISTANCE, "FP64", [1, 2]),
            tensor(LATE, "FP64", shape=[2, 1], parameters={"binary_data_size": 16}),
        ]
    }
    found = parse(version, request, texts + numbers)
    np.testing.assert_array_equal(found.numbers, [[1, 1], [np.nan, 2]])
    assert found.categories.tolist() == [["AA"], ["\u00e9"]]


def binary(name, datatype, size, rows=2):
    return tensor(name, datatype, shape=[rows], parameters={"binary_data_size": size})


@pytest.mark.parametrize(
    ("request_", "blob", "told"),
    [
        (asked(distance=binary(DISTANCE, "FP64", 16)), bytes(15), "is said to have 16 bytes, but 15 are left"),
        (asked(distance=binary(DISTANCE, "FP64", 16)), bytes(17), "1 bytes of the body belong to no input"),
        (asked(distance=binary(DISTANCE, "FP64", 8)), bytes(8), "has 8 bytes, but its shape needs 16"),
        (asked(distance=binary(DISTANCE, "BOOL", 2)), b"\x01\x02", "a BOOL that is neither 0 nor 1"),
        (asked(distance=binary(DISTANCE, "BYTES", 8)), bytes(8), "is 'BYTES', not FP64"),
        (asked(carrier=binary(CARRIER, "FP64", 16)), bytes(16), "is 'FP64', not BYTES"),
        (asked(carrier=binary(CARRIER, "BYTES", 9)), packed(b"AA")[:6] + b"\1\0\0", "cut off or not UTF-8"),
        (asked(carrier=binary(CARRIER, "BYTES", 6)), packed(b"AA"), "has 1 elements, but its shape needs 2"),
        (asked(carrier=binary(CARRIER, "BYTES", 15)), packed(b"A", b"B", b"C"), "do not fit its bytes and shape"),
        (asked(carrier=binary(CARRIER, "BYTES", 8)), b"\xff\xff\xff\xffAAAA", "do not fit its bytes and shape"),
        (asked(carrier=binary(CARRIER, "BYTES", 12)), packed(b"AA", b"\xff\xfe"), "cut off or not UTF-8"),
        (asked(distance=tensor(DISTANCE, "FP64", [1, 2], parameters={"binary_data_size": 8})), bytes(8), "has both data"),
    ],
)  # fmt: skip
def test_binary_data_that_do_not_fit_are_refused(version, request_, blob, told):
    error = refusal(version, request_, blob)
    assert told in error.message
    assert error.status == 400


@pytest.mark.parametrize(
    ("request_", "status", "told"),
    [
        (b"", 400, "cannot be read"),
        (b"[]", 400, "cannot be read"),
        (b'{"inputs": 5}', 400, "cannot be read"),
        ({"inputs": []}, 400, "input 'carrier_recent.late_1h' is missing"),
        ({"inputs": asked()["inputs"][1:]}, 400, "input 'carrier_recent.late_1h' is missing"),
        ({"inputs": [*asked()["inputs"], tensor("altitude", "FP64", [1, 2])]}, 400, "'altitude' is not an input"),
        ({"inputs": [*asked()["inputs"], tensor(DISTANCE, "FP64", [1, 2])]}, 400, "'distance' is there twice"),
        ({"inputs": [tensor("x" * 5000, "FP64", [])]}, 400, f"'{'x' * 64}' is not"),
        ({"inputs": [tensor("x", "FP64", [])] * (MAX_TENSORS + 1)}, 400, "more than 4096 inputs"),
        (asked(distance=tensor(DISTANCE, "FP64", [1, 2, 3])), 400, "differ in their number of rows"),
        (asked(distance=tensor(DISTANCE, "FP64", [1], [2])), 400, "has 1 elements, but its shape needs 2"),
        (asked(distance=tensor(DISTANCE, "FP64", [1, 2], [1, 2])), 400, "has shape [1, 2], not [n] or [n, 1]"),
        (asked(distance=tensor(DISTANCE, "FP64", [1, 2], [])), 400, "has shape []"),
        (asked(distance=tensor(DISTANCE, "FP64", [1, 2], [2, 1, 1])), 400, "has shape [2, 1, 1]"),
        (asked(distance=tensor(DISTANCE, "FP64", [1, 2], [-2])), 400, "cannot be read"),
        (asked(distance=tensor(DISTANCE, "FP64", [1, 2], [2**50])), 400, "cannot be read"),
        (asked(distance=tensor(DISTANCE, "FP64", [1, 2], [101])), 413, "101 rows are more than 100"),
        (asked(distance=tensor(DISTANCE, "FP64", shape=[2])), 400, "'distance' has no data"),
        (asked(distance=tensor(DISTANCE, "COMPLEX", [1, 2])), 400, "is 'COMPLEX', not FP64 or another number type"),
        (asked(distance=tensor(DISTANCE, "BYTES", ["1", "2"])), 400, "is 'BYTES', not FP64"),
        (asked(carrier=tensor(CARRIER, "FP64", [1, 2])), 400, "is 'FP64', not BYTES"),
        (asked(distance=tensor(DISTANCE, "FP64", ["1", 2])), 400, "expected `float | null`, got `str`"),
        (asked(distance=tensor(DISTANCE, "FP64", [True, 2])), 400, "expected `float | null`, got `bool`"),
        (asked(distance=tensor(DISTANCE, "INT8", [1, 2.5])), 400, "expected `int | null`, got `float`"),
        (asked(distance=tensor(DISTANCE, "INT8", [1, 128])), 400, "<= 127"),
        (asked(distance=tensor(DISTANCE, "UINT8", [1, -1])), 400, ">= 0"),
        (asked(distance=tensor(DISTANCE, "BOOL", [1, 0])), 400, "expected `bool | null`, got `int`"),
        (asked(distance=tensor(DISTANCE, "FP16", [1, 1e6])), 400, "an infinite number, or one too large for its type"),
        (asked(distance=tensor(DISTANCE, "FP32", [1, 1e39])), 400, "an infinite number, or one too large for its type"),
        (asked(distance=tensor(DISTANCE, "FP64", [[1, 2]], [2])), 400, "got `array`"),
        (asked(distance=tensor(DISTANCE, "FP64", [[1, 2]], [2, 1])), 400, "'distance' has data"),
        (asked(distance=tensor(DISTANCE, "FP64", {"0": 1}, [2])), 400, "got `object`"),
        (asked(carrier=tensor(CARRIER, "BYTES", ["AA", 5])), 400, "expected `str | null`, got `int`"),
        (asked(*[tensor(name, kind, []) for name, kind in ((LATE, "FP64"), (DISTANCE, "FP64"), (CARRIER, "BYTES"))]), 400, "there are no rows"),
        (asked(outputs=[{"name": "loss"}]), 400, "there is no output 'loss'"),
        (asked(outputs=[{"name": "score"}, {"name": "score"}]), 400, "an output is wanted twice"),
        (asked(outputs=[{}]), 400, "cannot be read"),
        (asked(id=5), 400, "cannot be read"),
        (asked(parameters={"binary_data_output": "yes"}), 400, "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_not_the_model_s_input_is_refused_with_a_reason(version, request_, status, told):
    error = refusal(version, request_)
    assert told in error.message
    assert error.status == status
    assert len(error.message) < 400


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"0x1", b"01", b"+1", b".5", b"1" * 400]
)
def test_a_number_that_is_not_json_is_refused(version, number):
    text = json.dumps(asked(distance=tensor(DISTANCE, "FP64", [7e77, 2]))).encode()
    assert refusal(version, text.replace(b"7e+77", number)).status == 400


def test_nesting_of_any_depth_is_refused(version):
    text = json.dumps(asked(distance=tensor(DISTANCE, "FP64", [7e77, 2]))).encode()
    for deep in (b"[" * 100_000, b"[" * 50_000 + b"]" * 50_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000):
        assert refusal(version, text.replace(b"7e+77", deep)).status == 400


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        ('"id": "a"', '"id": "a", "id": "b"'),
        ('"name": "distance"', '"name": "distance", "name": "distance"'),
        ('"datatype": "FP64", "shape": [1]', '"datatype": "FP32", "datatype": "FP64", "shape": [1]'),
        ('"shape": [1]', '"shape": [2], "shape": [1]'),
        ('"data": [1]', '"data": [2], "data": [1]'),
        ('"data": ["AA"]', '"data": ["UA"], "data": ["AA"]'),
        ('"parameters": {"binary_data_size": 8}', '"parameters": {"binary_data_size": 16}, "parameters": {"binary_data_size": 8}'),
        ('"binary_data_size": 8', '"binary_data_size": 16, "binary_data_size": 8'),
        ('"binary_data": true', '"binary_data": false, "binary_data": true'),
        ('"binary_data_output": false', '"binary_data_output": true, "binary_data_output": false'),
        ('"outputs": [', '"outputs": [], "outputs": ['),
        ('"inputs": [', '"inputs": [], "inputs": ['),
        ('"id": "a"', '"id": "a", "\\u0069d": "b"'),
    ],
)  # fmt: skip
def test_a_name_that_stands_twice_is_refused(version, once, twice):
    text = json.dumps(
        asked(
            late=binary(LATE, "FP64", 8, rows=1),
            distance=tensor(DISTANCE, "FP64", [1]),
            carrier=tensor(CARRIER, "BYTES", ["AA"]),
            id="a",
            outputs=[{"name": "score", "parameters": {"binary_data": True}}],
            parameters={"binary_data_output": False},
        )
    )
    assert len(parse(version, text.encode(), bytes(8)).numbers) == 1
    assert once in text
    assert "is there twice" in refusal(version, text.replace(once, twice, 1).encode(), bytes(8)).message


def test_a_value_that_looks_like_a_name_is_no_second_name(version):
    names = ["data", "inputs", "name", "binary_data", "\u0041"]
    columns = (tensor(LATE, "FP64", [1] * 5), tensor(DISTANCE, "FP64", [1] * 5), tensor(CARRIER, "BYTES", names))
    assert parse(version, asked(*columns)).categories[:, 0].tolist() == names


def test_in_a_large_request_names_are_looked_for_beside_the_data(version, monkeypatch):
    rows, looked = 10_000, []
    names = ["\u00e9", "data", *["AA"] * (rows - 2)]
    columns = (tensor(LATE, "FP64", [1] * rows), tensor(DISTANCE, "FP64", [1] * rows), tensor(CARRIER, "BYTES", names))
    text = json.dumps(asked(*columns, id="a"))
    monkeypatch.setattr(
        "seakeep.serving.v2.refuse_duplicates", lambda head: looked.append(head) or refuse_duplicates(head)
    )
    assert parse(version, text.encode(), max_rows=rows).categories[:2, 0].tolist() == names[:2]
    assert looked == []
    twice = text.replace('"id": "a"', '"id": "a", "\\u0069d": "b"').encode()
    assert "'id' is there twice" in refusal(version, twice, max_rows=rows).message
    assert len(looked[0]) < 1000


def test_what_is_beside_the_data_is_little(version):
    sent = asked(parameters={f"p{number}": "x" * 100 for number in range(1000)})
    found = refusal(version, sent)
    assert (found.status, "beside the inputs' data" in found.message) == (400, True)


@pytest.mark.parametrize(("length", "status"), [(0, 400), (5, 400), (10_000, 400)])
def test_a_length_of_the_json_part_that_is_wrong_is_refused(version, length, status):
    assert refusal(version, asked(), length=length).status == status


def test_what_the_protocol_allows_beyond_our_needs_is_ignored(version):
    found = parse(version, asked(parameters={"priority": 3}, more=1, outputs=[{"name": "decision", "parameters": {"classification": 0}}]))  # fmt: skip
    assert found.outputs == (("decision", False),)


@pytest.mark.parametrize(
    ("default", "outputs", "wanted"),
    [
        (None, None, (("score", False), ("decision", False))),
        (True, None, (("score", True), ("decision", True))),
        (True, [("decision", None), ("score", False)], (("decision", True), ("score", False))),
        (False, [("score", True)], (("score", True),)),
    ],
)
def test_outputs_come_in_the_form_and_order_they_are_wanted_in(version, default, outputs, wanted):
    more = {} if default is None else {"parameters": {"binary_data_output": default}}
    if outputs:
        forms = [{} if form is None else {"parameters": {"binary_data": form}} for _, form in outputs]
        more["outputs"] = [{"name": name} | form for (name, _), form in zip(outputs, forms, strict=True)]
    request = parse(version, asked(**more))
    assert request.outputs == wanted
    answers = [RowAnswer("p1", "", 0.1, False, 3, ()), RowAnswer("p2", "", 1 / 3, True, 3, ())]
    body, length = encode_answer(request, version, answers)
    told = json.loads(body[:length])
    assert (told["model_name"], told["model_version"], told["id"]) == ("late", "3", "")
    assert told["parameters"] == {"prediction_ids": "p1,p2"}
    assert [(one["name"], one["shape"]) for one in told["outputs"]] == [(name, [2]) for name, _ in wanted]
    expected = {"score": ([0.1, 1 / 3], "<f8"), "decision": ([False, True], "?")}
    at = length
    for one, (name, as_binary) in zip(told["outputs"], wanted, strict=True):
        values, code = expected[name]
        if as_binary:
            size = one["parameters"]["binary_data_size"]
            assert np.frombuffer(body[at : at + size], code).tolist() == values
            at += size
        else:
            assert one["data"] == values
    assert at == (len(body) if length else None)
    assert (length is None) is not any(form for _, form in wanted)


def test_every_refusal_is_an_error_a_client_may_be_told(version):
    error = refusal(version, {"inputs": []})
    assert isinstance(error, SeakeepError)
    assert error.hint == "see the model's metadata for its inputs"
