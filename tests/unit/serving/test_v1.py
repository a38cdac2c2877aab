import json

import msgspec
import pytest

from seakeep.errors import RowError
from seakeep.serving.errors import RequestError
from seakeep.serving.v1 import check_rows, explain, parse_events, parse_rows, reason, refuse_duplicates


def test_rows_are_taken_as_they_were_sent():
    rows = parse_rows(b' { "rows" : [ {"a": 1.50, "b":null} , {} ] } ', 2)
    assert [bytes(row) for row in rows] == [b'{"a": 1.50, "b":null}', b"{}"]


@pytest.mark.parametrize(("parse", "name"), [(parse_rows, "rows"), (parse_events, "events")])
class TestBodies:
    @pytest.mark.parametrize(
        ("sent", "status", "told"),
        [
            ("", 400, "cannot be read: input data was truncated"),
            ("null", 400, "expected `object`"),
            ("{}", 400, "missing required field"),
            ('{"NAME": {}}', 400, "expected `array`"),
            ('{"NAME": []}', 400, "there are no NAME"),
            ('{"NAME": [{}, {}, {}]}', 413, "3 NAME are more than 2"),
            ('{"NAME": [{}], "more": 1}', 400, "unknown field `more`"),
            ('{"NAME": [{}], "NAME": [{}]}', 400, "'NAME' is there twice"),
            ('{"NAME": [{"a": 1, "\\u0061": 2}]}', 400, "'a' is there twice"),
            ('{"NAME": [{"a": NaN}]}', 400, "NaN and Infinity are not JSON"),
            ('{"NAME": [{"a": -Infinity}]}', 400, "NaN and Infinity are not JSON"),
            ('{"NAME": [{}]} x', 400, "JSON is malformed"),
            ("\ufeff{}", 400, "JSON is malformed"),
        ],
    )
    def test_what_is_not_of_the_form_is_refused_with_a_reason(self, parse, name, sent, status, told):
        with pytest.raises((RequestError, RowError), match=told.replace("NAME", name)) as caught:
            parse(sent.replace("NAME", name).encode(), 2)
        assert getattr(caught.value, "status", 400) == status

    def test_a_name_within_a_string_is_no_second_name(self, parse, name):
        sent = json.dumps({name: [{"a": f'"{name}"', "b": "\u0061"}]}).encode()
        assert len(parse(sent, 2)) == 1

    def test_a_number_of_any_length_is_left_to_the_schema(self, parse, name):
        sent = b'{"%b": [{"a": "\\u0061", "b": %b}]}' % (name.encode(), b"1" * 10_000)
        assert len(parse(sent, 2)) == 1

    def test_bytes_that_are_no_text_are_refused(self, parse, name):
        with pytest.raises(RowError, match="cannot be read: 'utf-8'"):
            parse(b'{"%b": [{"a": "\\u0061\xff"}]}' % name.encode(), 2)

    def test_nesting_of_any_depth_is_refused_and_not_followed(self, parse, name):
        deep = b"[" * 200_000
        with pytest.raises(RequestError):
            parse(b'{"%b": [%b' % (name.encode(), deep), 2)
        with pytest.raises((RequestError, RowError)):
            parse(b'{"%b": [{"a": "\\u0061", "b": %b%b}]}' % (name.encode(), deep, deep.replace(b"[", b"]")), 2)


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": "x", "b": 1, "c": None}],
        [{"a": 'with "quotation" marks'}],
        [{"a": "back\\slash"}, {"a": "\u00e9\u4e2d"}],
        [{"": ""}],
        [{}],
    ],
)
def test_rows_without_a_column_twice_pass(rows):
    check_rows(json.dumps(rows).encode(), rows)
    check_rows(json.dumps(rows, ensure_ascii=False).encode(), rows)


@pytest.mark.parametrize("sent", [b'[{"a":1,"a":2}]', b'[{},{"b":"","a":"x","a":"x"}]', b'[{"a":1,"\\u0061":1}]'])
def test_rows_with_a_column_twice_are_refused(sent):
    with pytest.raises(RowError, match="'a' is there twice") as caught:
        check_rows(sent, msgspec.json.decode(sent))
    assert caught.value.column == "a"


def test_the_same_name_in_different_objects_is_no_fault():
    refuse_duplicates(b'[{"a": {"a": [{"a": 1}, {"a": 2}]}}, {"a": 1}]')


def test_names_are_not_looked_for_at_any_depth():
    with pytest.raises(RowError, match="nested too deeply"):
        refuse_duplicates(b"[" * 200_000 + b"]" * 200_000)


def test_a_reason_goes_on_in_the_sentence():
    assert reason(ValueError("Expected `int`, got `str`")) == "expected `int`, got `str`"
    assert reason(ValueError("JSON is malformed")) == "JSON is malformed"
    assert reason(ValueError("")) == ""
    assert len(reason(ValueError("a" * 1000))) == 200


@pytest.mark.parametrize("text", [b'{"rows": [NaN ]}', b"[1,-Infinity]", b'{"a":Infinity}', b"[ NaN\n,1]"])
def test_numbers_that_are_not_json_are_explained(text):
    assert "NaN and Infinity are not JSON" in explain(text, ValueError("x"), "").message


def test_a_string_that_speaks_of_nan_is_not_blamed():
    assert explain(b'{"rows": ["NaN"', ValueError("Truncated"), "").message == "the body cannot be read: truncated"
