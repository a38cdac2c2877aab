import pytest
from tests.registering import version

from seakeep.errors import NotFoundError
from seakeep.records.version import NAME, Reference, parse_reference


@pytest.mark.parametrize(
    ("text", "role", "number"),
    [
        ("late", "champion", 0),
        ("late@champion", "champion", 0),
        ("late@candidate", "candidate", 0),
        ("late:1", "champion", 1),
        ("late:7", "champion", 7),
        ("late:1234567890", "champion", 1_234_567_890),
    ],
)
def test_a_reference_names_a_model_and_one_of_its_versions(text, role, number):
    assert parse_reference(text) == Reference(model="late", role=role, number=number)


@pytest.mark.parametrize("name", ["a", "0", "late-arrival", "late.v2", "a_b", "a" * 64, "late-", "9.9"])
def test_every_name_of_a_model_can_be_referred_to(name):
    assert parse_reference(name).model == parse_reference(f"{name}@candidate").model == name
    assert parse_reference(f"{name}:3") == Reference(model=name, number=3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "@",
        "late:",
        "late@",
        "late:0",
        "late:01",
        "late:-1",
        "late:+1",
        "late:1.0",
        "late: 1",
        "late:1 ",
        "late:1\n",
        "late:1:2",
        "late:٣",
        "late:²",
        "late:12345678901",
        "late:" + "9" * 5_000,
        "late@shadow",
        "late@Champion",
        "late@candidate:1",
        "late:1@candidate",
        "late@candidate@champion",
        "@candidate",
        ":7",
        "Late",
        "lâte",
        "late arrival",
        "../late",
        "late/7",
        "-late",
        ".late",
        "a" * 65,
    ],
)
def test_anything_else_is_no_reference(text):
    with pytest.raises(NotFoundError, match="is not a reference to a version") as raised:
        parse_reference(text)
    assert "'late:7'" in raised.value.hint


def test_a_version_is_written_as_it_is_referred_to():
    assert version(7).ref == "late:7"
    assert parse_reference(version(7).ref) == Reference(model="late", number=7)


@pytest.mark.parametrize("name", ["", "A", "ä", "a b", "a/b", "a\0", "a\n", "-a", "_a", ".", "..", "a" * 65, "ａ"])  # noqa: RUF001 -- a letter that looks like another
def test_a_name_is_no_path_and_looks_like_no_other(name):
    assert not NAME.fullmatch(name)
