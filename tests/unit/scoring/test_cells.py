import duckdb
import msgspec
import pytest

from seakeep.records.source import ColumnSchema
from seakeep.scoring.cells import NOTHING, TEXT, cell_of_object, fits, literal, quoted, row_object, row_of_object

TYPED = [
    ("float", "DOUBLE", "0.1", 0.1),
    ("float", "DOUBLE", "'nan'::double", None),
    ("float", "DOUBLE", "'-inf'::double", "-inf"),
    ("float", "FLOAT", "0.1::float", 0.10000000149011612),
    ("float", "BIGINT", "9007199254740993", 9007199254740993),
    ("float", "DECIMAL(5,2)", "12.50::decimal(5, 2)", 12.5),
    ("float", "DECIMAL(2,2)", "-0.50::decimal(2, 2)", -0.5),
    ("float", "DECIMAL(38,20)", "123456789012345678.12345678901234567890::decimal(38, 20)", 123456789012345678.125),
    ("int", "DECIMAL(38,0)", "9007199254740993::decimal(38, 0)", 9007199254740993),
    ("int", "DECIMAL(20,1)", "9007199254740993.5::decimal(20, 1)", 9007199254740994.0),
    ("int", "DOUBLE", "3.0::double", 3),
    ("int", "DOUBLE", "3.5::double", 3.5),
    ("int", "DOUBLE", "1e19::double", 1e19),
    ("int", "DOUBLE", "'nan'::double", None),
    ("int", "DECIMAL(5,2)", "7.00::decimal(5, 2)", 7),
    ("int", "UBIGINT", "18446744073709551615::ubigint", 18446744073709551615),
    ("bool", "BOOLEAN", "true", True),
    ("string", "VARCHAR", "'a\"b' || chr(0) || chr(233)", 'a"b\0é'),
    ("string", "VARCHAR", "''", ""),
    ("string", "ENUM('x', 'y')", "'y'::enum('x', 'y')", "y"),
    ("time", "TIMESTAMP", "timestamp '1969-12-31 23:59:59.5'", -500_000),
    ("time", "TIMESTAMP_NS", "'2013-07-01 06:00:00.000001'::timestamp_ns", 1372658400000001),
    ("time", "TIMESTAMP WITH TIME ZONE", "timestamptz '1970-01-01 02:00:00+02'", 0),
    ("time", "DATE", "date '1970-01-02'", 86_400_000_000),
    ("time", "BIGINT", "5", 5),
    ("time", "VARCHAR", "'2013-07-01T06:00'", "2013-07-01T06:00"),
]
TEXTS = [
    ("float", "1.50", 1.5),
    ("float", "-0.0", -0.0),
    ("float", "+.5", 0.5),
    ("float", "NaN", None),
    ("float", "inf", "inf"),
    ("float", "far", "far"),
    ("int", "12", 12),
    ("int", "12.0", 12),
    ("int", "12.5", 12.5),
    ("int", "007", 7),
    ("int", "9223372036854775808", 9223372036854775808),
    ("int", "many", "many"),
    ("bool", "True", True),
    ("bool", "false", False),
    ("bool", "1", "1"),
    ("string", "007", "007"),
    ("string", "null", "null"),
    ("time", "2013-07-01 06:00", "2013-07-01 06:00"),
    ("time", "1372658400000000", "1372658400000000"),
]


NAME = "x's"


def written(kind, held, sql):
    text = row_object([ColumnSchema(name=NAME, kind=kind)], {NAME: held}, {NAME: quoted(NAME)})
    return duckdb.execute(f"select {text} from (select {sql} as {quoted(NAME)})").fetchone()[0]


def sent(kind, held, sql):
    return msgspec.json.decode(written(kind, held, sql))[NAME]


@pytest.mark.parametrize(("kind", "held", "sql", "expected"), TYPED)
def test_a_typed_cell(kind, held, sql, expected):
    assert fits(kind, held)
    found = sent(kind, held, sql)
    assert (found, type(found)) == (expected, type(expected))
    assert sent(kind, held, f"nullif({sql}, {sql})") is None


@pytest.mark.parametrize(("kind", "text", "expected"), TEXTS)
def test_a_cell_of_text(kind, text, expected):
    found = sent(kind, TEXT, literal(text))
    assert (str(found), type(found)) == (str(expected), type(expected))
    assert sent(kind, TEXT, "null::varchar") is None


def test_a_number_beyond_all_bounds_is_carried_over_for_the_decoder_to_refuse():
    assert written("float", TEXT, "'1e400'") == '{"x\'s":1e400}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b": 1.10, "a":"x" }', '{"b": 1.10, "a":"x" }'),
        ("{}", "{}"),
        ('{"b":null}', '{"b":null}'),
        ('{"b":null,"more":{"a":[1]},"a":[null]}', '{"a":[null],"b":null}'),
        ('{"more":1}', "{}"),
        ('{"$c\\"\\\\":1,"B":2,"b":1e400}', '{"b":1e400,"$c\\"\\\\":1}'),
        ('{"b":1,"b":2}', '{"b":1,"b":2}'),
        ('{"b":1,"b":2,"more":3,"a":4}', '{"b":1,"b":1,"a":4}'),
        ('{"b":1,"more":3,"more":4}', '{"b":1}'),
        ("[1]", "[1]"),
        ("null", "null"),
    ],
)
def test_an_object_is_what_it_is_without_what_the_model_does_not_read(text, expected):
    columns = [ColumnSchema(name=name, kind="float") for name in ("a", "b", '$c"\\')]
    query = f"select {row_of_object(columns, 'o')} from (select {literal(text)}::json as o)"
    assert duckdb.execute(query).fetchone() == (expected,)


@pytest.mark.parametrize(
    ("name", "expected"), [("a", "x"), ("$.a", "1.1"), ('q"', '{"a":null}'), ("none", None), ("null", None)]
)
def test_a_cell_of_an_object_is_repeated_as_text(name, expected):
    row = """'{"a":"x","$.a":1.10,"q\\"":{"a":null},"null":null}'::json"""
    assert duckdb.execute(f"select {cell_of_object(name, row)}").fetchone() == (expected,)


@pytest.mark.parametrize("kind", ["float", "int", "bool", "string", "time"])
def test_a_column_without_a_type_is_missing(kind):
    assert fits(kind, NOTHING)
    assert sent(kind, NOTHING, "null") is None


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        ("float", "VARCHAR"),
        ("float", "BOOLEAN"),
        ("int", "TIMESTAMP"),
        ("bool", "BIGINT"),
        ("string", "BIGINT"),
        ("string", "VARCHAR[]"),
        ("time", "DOUBLE"),
        ("string", "STRUCT(a INTEGER)"),
        ("time", "INTERVAL"),
        ("float", "DECIMAL(5,2)[]"),
        ("time", "TIMESTAMP[3]"),
        ("string", "BLOB"),
    ],
)
def test_types_of_which_no_value_could_be_read(kind, held):
    assert not fits(kind, held)


def test_a_column_that_the_file_does_not_have_is_not_sent():
    columns = [ColumnSchema(name="a", kind="int"), ColumnSchema(name="b", kind="int")]
    (found,) = duckdb.execute(
        f"select {row_object(columns, {'b': 'BIGINT', 'c': 'BIGINT'}, {'b': 'b', 'c': 'c'})} from (select 1 b)"
    ).fetchone()
    assert found == '{"b":1}'
