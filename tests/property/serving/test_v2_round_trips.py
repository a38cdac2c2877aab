"""Whatever a client can say in the protocol, the model gets exactly that; whatever the model says, the client gets."""

import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_rig import Rig

from seakeep.serving.errors import RequestError
from seakeep.serving.v1 import RowAnswer
from seakeep.serving.v2 import encode_answer, parse_infer

TYPES = {
    "FP64": ("<f8", st.floats(allow_infinity=False, allow_nan=False)),
    "FP32": ("<f4", st.floats(width=32, allow_infinity=False, allow_nan=False)),
    "FP16": ("<f2", st.floats(width=16, allow_infinity=False, allow_nan=False)),
    "BOOL": ("?", st.booleans()),
    **{f"INT{bits}": (f"<i{bits // 8}", st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)) for bits in (8, 16, 32)},
    **{f"UINT{bits}": (f"<u{bits // 8}", st.integers(0, 2**bits - 1)) for bits in (8, 16, 32)},
    "INT64": ("<i8", st.integers(-(2**53), 2**53)),
    "UINT64": ("<u8", st.integers(0, 2**53)),
}
NAMES = ("carrier_recent.late_1h", "distance", "carrier")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("rig"))
    return rig.load(rig.put(1))


@st.composite
def tables(draw):
    """A column of each input: its datatype, its values, and whether it goes in binary form and with two dimensions."""
    rows = draw(st.integers(1, 12))
    columns = []
    for name in NAMES:
        datatype = "BYTES" if name == "carrier" else draw(st.sampled_from(sorted(TYPES)))
        cells = texts if name == "carrier" else TYPES[datatype][1]
        values = draw(st.lists(cells, min_size=rows, max_size=rows))
        columns.append((name, datatype, values, draw(st.booleans()), draw(st.booleans())))
    return draw(st.permutations(columns))


def encoded(columns):
    """The body of a request, and the length of its JSON part."""
    inputs, blobs = [], []
    for name, datatype, values, as_binary, two in columns:
        made = {"name": name, "datatype": datatype, "shape": [len(values), 1] if two else [len(values)]}
        if as_binary and datatype == "BYTES":
            blobs.append(b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in values))
        elif as_binary:
            blobs.append(np.array(values, dtype=TYPES[datatype][0]).tobytes())
        else:
            made["data"] = [[value] for value in values] if two else values
        if as_binary:
            made["parameters"] = {"binary_data_size": len(blobs[-1])}
        inputs.append(made)
    head = json.dumps({"id": "r", "inputs": inputs}).encode()
    return head + b"".join(blobs), len(head)


@given(columns=tables())
def test_the_model_gets_what_was_sent_in_any_datatype_form_and_order(version, columns):
    body, length = encoded(columns)
    found = parse_infer(body, length if len(body) > length else None, version, 100)
    sent = {name: values for name, _, values, *_ in columns}
    for place, name in enumerate(NAMES[:2]):
        assert found.numbers[:, place].tobytes() == np.array(sent[name], dtype=np.float64).tobytes()
    assert found.categories[:, 0].tolist() == sent["carrier"]
    assert found.id == "r"


@given(columns=tables(), place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_changed_byte_is_another_request_or_a_refusal_never_a_fault(version, columns, place, change):
    body, length = encoded(columns)
    at = int(place * len(body))
    bent = body[:at] + bytes([body[at] ^ change]) + body[at + 1 :]
    with contextlib.suppress(RequestError):
        found = parse_infer(bent, length if len(body) > length else None, version, 100)
        assert found.numbers.shape == (len(found.categories), 2)
        assert not np.isinf(found.numbers).any()


@given(columns=tables(), share=st.floats(0, 1, exclude_max=True))
def test_a_body_that_is_cut_off_is_refused(version, columns, share):
    body, length = encoded(columns)
    with pytest.raises(RequestError):
        parse_infer(body[: int(share * len(body))], length if len(body) > length else None, version, 100)


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    form=st.sampled_from([None, True, False]),
    wanted=st.permutations(["score", "decision"]).flatmap(lambda names: st.sampled_from([names, names[:1]])),
)
def test_the_client_gets_what_the_model_said_to_the_bit(version, scores, form, wanted):
    column = {"datatype": "FP64", "shape": [len(scores)], "data": [0.0] * len(scores)}
    inputs = [column | {"name": name} for name in NAMES[:2]]
    inputs.append({"name": "carrier", "datatype": "BYTES", "shape": [len(scores)], "data": [""] * len(scores)})
    asked = {"inputs": inputs, "outputs": [{"name": name} for name in wanted]}
    if form is not None:
        asked["parameters"] = {"binary_data_output": form}
    request = parse_infer(json.dumps(asked).encode(), None, version, 100)
    answers = [RowAnswer(f"p{n}", "", score, score >= 0.5, 1, ()) for n, score in enumerate(scores)]
    body, length = encode_answer(request, version, answers)
    told, at = json.loads(body[:length]), length
    assert [output["name"] for output in told["outputs"]] == wanted
    for output in told["outputs"]:
        code, expected = ("<f8", scores) if output["name"] == "score" else ("?", [score >= 0.5 for score in scores])
        values = output.get("data")
        if form:
            size = output["parameters"]["binary_data_size"]
            values, at = np.frombuffer(body[at : at + size], code).tolist(), at + size
        assert np.array(values, code).tobytes() == np.array(expected, code).tobytes()
