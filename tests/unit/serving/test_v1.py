import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
            ('{"NAME": [{}], "\\u0062": [{}]}', 400, "unknown field `b`"),
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

    def test_an_escape_that_may_hide_the_name_is_refused(self, parse, name):
        hidden = f"\\u{ord(name[0]):04x}{name[1:]}"
        for sent in (f'{{"{hidden}": [{{}}]}}', f'{{"{name}": [{{}}], "{hidden}": [{{}}]}}'):
            with pytest.raises(RequestError, match=f"'{name}' is there twice"):
                parse(sent.encode(), 2)

    def test_rows_of_an_earlier_list_do_not_hide_that_there_are_two(self, parse, name):
        with pytest.raises(RequestError, match=f"'{name}' is there twice"):
            parse(f'{{"{name}": [{{"{name}": "{name}"}}], "{name}": [{{}}]}}'.encode(), 2)

    def test_nesting_of_any_depth_is_refused_and_not_followed(self, parse, name):
        deep = b"[" * 200_000
        with pytest.raises(RequestError):
            parse(b'{"%b": [%b' % (name.encode(), deep), 2)


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": "x", "b": 1, "c": None}],
        [{"a": 'with "quotation" marks'}],
        [{"a": "back\\slash"}, {"a": "\u00e9\u4e2d"}],
        [{"a": "ends with\\"}, {"a": '\\"'}, {"a": '"'}, {'"': '\\\\"\\'}],
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


@given(st.lists(st.dictionaries(st.text('a"\\u'), st.text('a"\\u') | st.none(), max_size=3), max_size=5), st.data())
def test_whatever_is_escaped_a_column_that_is_there_twice_is_found_and_no_other(rows, data):
    sent = [json.dumps(one) for one in rows]
    check_rows(f"[{','.join(sent)}]".encode(), rows)
    named = [place for place, one in enumerate(rows) if one]
    if named:
        place = data.draw(st.sampled_from(named))
        name = json.dumps(data.draw(st.sampled_from(list(rows[place]))))
        sent[place] = sent[place][:-1] + f",{name}:1}}"
        again = f"[{','.join(sent)}]".encode()
        with pytest.raises(RowError, match="is there twice") as caught:
            check_rows(again, msgspec.json.decode(again))
        assert caught.value.row == place


def test_of_many_rows_only_the_one_at_fault_is_looked_at_closely(monkeypatch):
    """Some microseconds for each name would hold the event loop for seconds."""
    looked, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text, **more: looked.append(text) or loads(text, **more))
    rows = [{"a": f'"{number}"', "b": "\u00e9"} for number in range(1000)]
    sent = json.dumps(rows).encode()
    check_rows(sent, rows)
    assert looked == []
    sent = sent[:-2] + b',"a":1}]'
    with pytest.raises(RowError):
        check_rows(sent, msgspec.json.decode(sent))
    assert [len(text) < 60 for text in looked] == [True]


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
