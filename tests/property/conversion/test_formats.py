"""Laws of telling model files apart."""

import contextlib
import json
import zipfile
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seakeep.conversion.formats.bounds import require_shallow, zip_entries
from seakeep.conversion.formats.registry import FORMATS, format_of
from seakeep.errors import ConversionError


def archive() -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("schema.json", "{}")
    return packed.getvalue()


BEGINNINGS = st.sampled_from([
    b"", b"CBM1", b"tree\nversion=v4\nend of trees\n", b'{"learner": {}}', b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner",
    b"\x80\x04", b"\x78\x9c", b"\x08\x0a\x3a\x02\x0a\x00", archive(), archive()[:-30],
])  # fmt: skip


@given(begin=BEGINNINGS, rest=st.binary(max_size=200), cut=st.integers(0, 200))
def test_any_bytes_are_one_format_or_a_clear_refusal(begin, rest, cut):
    content = (begin + rest)[: cut or None]
    with contextlib.suppress(ConversionError):
        found = format_of(content, "model")
        assert FORMATS[found.name] is found
        assert format_of(content, "of another name.json") is found


TREES = st.recursive(
    st.none() | st.integers() | st.just("x"), lambda inner: st.lists(inner) | st.dictionaries(st.just("k"), inner)
)


@settings(max_examples=40)
@given(tree=TREES, deep=st.integers(190, 210))
def test_json_is_refused_exactly_where_it_is_nested_too_deeply(tree, deep):
    content = ("[" * deep + json.dumps(tree) + "]" * deep).encode()
    nested = deep + depth(tree)
    with contextlib.nullcontext() if nested <= 200 else pytest.raises(ConversionError, match="nested more than 200"):
        require_shallow(content, "model.json")
    with pytest.raises(ConversionError):
        require_shallow(content[: len(content) - 1], "model.json")


def depth(tree) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(content=st.binary(max_size=100))
def test_no_bytes_make_an_archive_s_reader_fail_otherwise(content):
    for some in (content, b"PK\x03\x04" + content, archive()[:40] + content, archive() + content):
        with contextlib.suppress(ConversionError):
            assert isinstance(zip_entries(some, "model"), frozenset)
