"""What is read together, recalled or not looked at closely means what it means when it is read with care, one by one."""

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.serving_rig import Rig

from seakeep.serving.errors import RequestError
from seakeep.serving.v2 import parse_infer

NUMBERS, CATEGORY = ("carrier_recent.late_1h", "distance"), "carrier"
TAME = (
    "0",
    "-0.0",
    "1",
    "-7",
    "1.5",
    "null",
    "0.1",
    "5e-324",
    "1.7976931348623157e308",
    "123456789012345678901234567890",
    " 2 ",
)
WILD = ("1e999", "-1e999", "9" * 400, "true", '"1"', "[1]", "[]", "{}", "NaN", "[null]", "[1, 2]", "")
SPACES = st.sampled_from(["", " ", "\n\t "])


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("rig"))
    return rig.load(rig.put(1))


@st.composite
def cells(draw, wild, rows):
    """Elements as JSON, most often as many as there are rows."""
    some = st.one_of(st.sampled_from(TAME), st.floats(allow_nan=False, allow_infinity=False).map(repr))
    count = draw(st.integers(0, 4)) if wild and draw(st.booleans()) else rows
    found = draw(st.lists(some, min_size=count, max_size=count))
    if found and wild:
        found[draw(st.integers(0, count - 1))] = draw(st.sampled_from(WILD))
    return found


@st.composite
def tensors(draw, name, rows, *, wild):
    """An input as JSON, and the bytes that follow the JSON for it."""
    space = draw(SPACES)
    nested = draw(st.sampled_from([False, False, True]))
    shape = [rows, 1] if nested else [rows]
    datatype = "BYTES" if name == CATEGORY else draw(st.sampled_from(["FP64", "FP64", "FP64", "FP32", "INT64"]))
    if wild:
        shape = draw(st.sampled_from([shape, shape, [rows + 1], [rows, 2], [0], []]))
        datatype = draw(st.sampled_from([datatype, datatype, "FP64", "BYTES", "FP65"]))
    said = [f'"name":{space}"{name}"', f'"shape":{space}{shape}', f'"datatype": "{datatype}"']
    blob = b""
    form = draw(st.sampled_from(["json", "json", "json", "binary"]))
    if form == "binary":
        words = draw(st.lists(st.binary(min_size=8, max_size=8), min_size=rows, max_size=rows))
        blob = struct.pack("<I", 0) * rows if name == CATEGORY else b"".join(words)
        said.append(f'"parameters": {{"binary_data_size": {len(blob)}}}')
    else:
        texts = ["null", '"AA"', '"a\\"b"', '"data"', '"\\u0041"']
        some = st.lists(st.sampled_from(texts), min_size=rows, max_size=rows) if name == CATEGORY else cells(wild, rows)
        found = draw(some)
        within = [f"[{one}]" for one in found] if nested and draw(st.booleans()) else found
        said.append(f'"data":{space}[{space}{f"{space},".join(within)}]')
    if wild and draw(st.booleans()):
        said.remove(draw(st.sampled_from(said)))
    elif wild:
        said.extend(draw(st.lists(st.sampled_from([*said, '"d\\u0061ta": [1]', '"more": 1']), max_size=1)))
    return f"{{{', '.join(draw(st.permutations(said)))}}}", blob


@st.composite
def requests(draw, names):
    """A body, and the length of its JSON part: nothing, one input, every input or their frame is at fault."""
    rows = draw(st.integers(1, 3))
    fault = draw(st.sampled_from([None, None, "frame", "every", *names]))
    order = draw(st.permutations(names))
    if fault == "frame":
        order = draw(st.sampled_from([order[1:], [*order, order[0]], [*order, "altitude"]]))
    inputs = [draw(tensors(name, rows, wild=fault in {name, "every"})) for name in order]
    said = [f'"inputs": [{", ".join(text for text, _ in inputs)}]']
    more = [
        '"id": ""',
        '"id": "r1"',
        '"id": "a\\"b"',
        '"id": "\\u00e9"',
        '"outputs": [{"name": "score"}]',
        '"priority": 2',
    ]
    said.extend(draw(st.lists(st.sampled_from([*more, '"parameters": {"priority": 2}', '"inputs": []']), max_size=2)))
    head = f"{{{', '.join(draw(st.permutations(said)))}}}".encode()
    return head + b"".join(blob for _, blob in inputs), len(head)


def outcome(version, body, length, max_rows):
    try:
        found = parse_infer(body, length if len(body) > length else None, version, max_rows)
    except RequestError as error:
        return error.status, error.message, error.hint
    assert found.numbers.flags.c_contiguous
    assert found.numbers.dtype == np.float64
    told = (found.numbers.shape, found.numbers.tobytes(), found.categories.tolist())
    return told, found.id, found.outputs, found.timeout_us, found.priority


@pytest.mark.parametrize("names", [NUMBERS, (*NUMBERS, CATEGORY)])
@given(data=st.data())
def test_every_way_of_reading_finds_the_same_values_and_the_same_faults(version, names, data):
    kinds = {name: version.kinds[name] for name in names}
    categories = tuple(name for name in names if name == CATEGORY)
    quick, careful = (dataclasses.replace(version, kinds=kinds, categories=categories, memory={}) for _ in range(2))
    for body, length in data.draw(st.lists(requests(names), min_size=1, max_size=3)):
        for max_rows in (100, 1):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("seakeep.serving.tensors._at_once", lambda *_: None)
                patch.setattr("seakeep.serving.v2.recalled", lambda *_: None)
                patch.setattr("seakeep.serving.v2._quotes", lambda _: -1)
                expected = outcome(careful, body, length, max_rows)
            event("refused" if len(expected) == 3 else "read")
            assert outcome(quick, body, length, max_rows) == expected
            assert outcome(quick, body, length, max_rows) == expected  # its layout may be known now
