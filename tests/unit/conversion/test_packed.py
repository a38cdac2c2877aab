"""The file of a natively served model: the same bytes for the same content, read back whole or refused."""

import sys

import msgspec
import pytest

from seakeep.conversion.packed import CodeFile, Native, OwnCode, Packed, engine_of, pack, unpack
from seakeep.errors import IntegrityError
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import Outputs

CODE = {
    "shop": CodeFile("shop/__init__.py", "from shop.prices import PRICE\n"),
    "shop.prices": CodeFile("shop/prices.py", "PRICE = 3\n"),
    "unused": CodeFile("unused.py", "raise SystemExit\n"),
}


@pytest.fixture
def packed():
    columns = (FeatureColumn(name="a", kind="number"),)
    native = Native(columns=columns, outputs=Outputs(), modules={name: one.path for name, one in CODE.items()})
    return Packed(native=native, estimator=b"skops", code=CODE)


@pytest.fixture
def finder():
    own = OwnCode(CODE)
    own.install()
    yield own
    sys.meta_path.remove(own)
    for name in CODE:
        sys.modules.pop(name, None)


def test_a_model_is_unpacked_as_it_was_packed_and_packed_to_the_same_bytes(packed):
    model = pack(packed)
    assert unpack(model) == packed
    assert pack(unpack(model)) == model
    assert engine_of(model) == "native"
    assert engine_of(b"\x08\x08onnx") == "onnx"


@pytest.mark.parametrize("damage", ["cut", "not-json", "code", "other"])
def test_a_damaged_file_is_refused(packed, damage):
    model = pack(packed)
    broken = {
        "cut": model[: len(model) // 2],
        "not-json": model.replace(b'"columns"', b'"columms"'),
        "code": pack(msgspec.structs.replace(packed, code={})),
        "other": b"PK\x03\x04",
    }[damage]
    with pytest.raises(IntegrityError, match="cannot be read"):
        unpack(broken)


def test_the_projects_own_modules_are_imported_from_their_text_and_remembered(finder):
    import shop

    assert shop.PRICE == 3
    assert sorted(finder.imported) == ["shop", "shop.prices"]
    assert shop.__spec__.origin == "shop/__init__.py"
    with pytest.raises(ModuleNotFoundError):
        import nowhere_else  # noqa: F401


def test_what_is_installed_is_not_replaced_by_the_projects_own():
    own = OwnCode({"json": CodeFile("json.py", "raise SystemExit")})
    own.install()
    try:
        sys.modules.pop("json.tool", None)
        import json.tool

        assert json.tool.__file__
        assert not own.imported
    finally:
        sys.meta_path.remove(own)
