import tempfile
from pathlib import Path

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import inspect

from seakeep.config import FILE_NAME, Settings, load_settings
from seakeep.errors import ProjectFaults

SECTIONS = {section.name: section.type for section in msgspec.structs.fields(Settings)}
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)


MAKERS = {
    inspect.BoolType: lambda _: st.booleans(),
    inspect.IntType: lambda kind: st.integers(kind.ge or 1, kind.le or 65_535),
    inspect.FloatType: lambda kind: st.integers(1, 8 * (kind.le or 1_000)).map(lambda eighths: eighths / 8),
    inspect.StrType: lambda _: TEXTS,
    inspect.LiteralType: lambda kind: st.sampled_from(kind.values),
    inspect.VarTupleType: lambda _: st.lists(TEXTS, max_size=3).map(tuple),
}
"""How values that a setting may have are made, by its type; none for a table of settings."""


def values_of(kind):
    make = MAKERS.get(type(kind))
    return make(kind) if make else None


STRATEGIES = {
    (section, field.name): values_of(inspect.type_info(field.type))
    for section, kind in SECTIONS.items()
    for field in msgspec.structs.fields(kind)
}
FIELDS = [name for name, values in STRATEGIES.items() if values is not None]
CHOICES = {("serving", "clock"), ("recorder", "commit"), ("observe", "logs")}
"""Of these the environment needs no quotes."""
TABLES = {("serving", "keys"), ("serving", "models")}


@st.composite
def chosen(draw):
    """Some settings: value by section and key."""
    return {name: draw(STRATEGIES[name]) for name in draw(st.lists(st.sampled_from(FIELDS), unique=True))}


def toml(value):
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return msgspec.json.encode(value).decode()


def load(content, environ=None):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_settings(Path(folder), environ or {})


def faults_of(content, environ=None):
    try:
        load(content, environ)
    except ProjectFaults as error:
        return error.faults
    return ()


def written(settings):
    lines = []
    for section in SECTIONS:
        inside = {key: value for (one, key), value in settings.items() if one == section}
        lines += [f"[{section}]", *(f"{key} = {toml(value)}" for key, value in inside.items())]
    return "\n".join(lines) + "\n"


def variables(settings):
    return {
        f"SEAKEEP_{section}__{key}".upper(): value if (section, key) in CHOICES else toml(value)
        for (section, key), value in settings.items()
    }


def values(settings):
    return {(section, key): getattr(getattr(settings, section), key) for section, key in FIELDS}


def test_only_tables_of_settings_are_left_out():
    assert set(STRATEGIES) - set(FIELDS) == TABLES


DEFAULTS = values(load('[project]\nname = "x"\n'))


@given(chosen(), chosen())
def test_the_environment_comes_before_the_file_and_the_file_before_the_defaults(in_file, in_environment):
    in_file = {("project", "name"): "x", **in_file}
    found = values(load(written(in_file), variables(in_environment)))
    assert found == {**DEFAULTS, **in_file, **in_environment}


@given(TEXTS)
def test_a_text_in_the_environment_needs_no_quotes(text):
    # Quotes are read as TOML reads them, and what follows a '#' is then a comment.
    assume(text == text.strip() and text[:1] not in {'"', "'"})
    assert load("", {"SEAKEEP_PROJECT__NAME": text}).project.name == text


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_file_is_settings_or_clear_faults_with_a_line_of_it(content):
    raw = content if isinstance(content, bytes) else content.encode("utf-8", errors="surrogatepass")
    faults = faults_of(raw)
    assert all(fault.message and 1 <= fault.line <= raw.count(b"\n") + 1 for fault in faults)


@given(
    st.dictionaries(
        st.sampled_from([f"SEAKEEP_{section}__{key}".upper() for section, key in STRATEGIES])
        | st.from_regex(r"SEAKEEP_[A-Z]{0,9}(__[A-Z_]{0,9})?", fullmatch=True),
        st.text(max_size=12),
        max_size=4,
    )
)
def test_any_environment_is_settings_or_clear_faults(environ):
    for text in ('[project]\nname = "x"\n', 'serving = 3\n[project]\nname = "x"\n', "project = 1\nserving = []\n"):
        assert all(fault.message for fault in faults_of(text, environ))
