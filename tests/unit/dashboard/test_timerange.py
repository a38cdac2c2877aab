from __future__ import annotations

import pytest

from seakeep.clock import DAY_US, parse_moment
from seakeep.dashboard.timerange import Link, TimeRange, parse_range, range_links, write_moment, write_query
from seakeep.errors import RowError

FIRST, LAST = parse_moment("2013-07-01T08:00"), parse_moment("2013-07-30T21:15")
DAY = parse_moment("2013-07-10")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, TimeRange()),
        ({"from": "", "to": "  "}, TimeRange()),
        ({"from": "2013-07-10"}, TimeRange(DAY)),
        ({"to": "2013-07-10T00:00Z"}, TimeRange(None, DAY)),
        ({"from": "2013-07-10T02:00+02:00", "to": "2013-07-11"}, TimeRange(DAY, DAY + DAY_US)),
        ({"from": "1970-01-01", "to": "2200-01-01"}, TimeRange(0, parse_moment("2200-01-01"))),
    ],
)
def test_an_address_names_a_range(query, expected):
    assert parse_range(query) == expected
    assert parse_range(query).follows_now == (expected.to_us is None)


@pytest.mark.parametrize(
    "text", ["yesterday", "2013-13-01", "1969-12-31", "2200-01-02", "9" * 400, "0", "\N{FULLWIDTH DIGIT TWO}013-07-10"]
)
@pytest.mark.parametrize("end", ["from", "to"])
def test_what_is_not_a_moment_of_these_two_centuries_is_refused_by_name(end, text):
    with pytest.raises(RowError, match=f"{end}=") as caught:
        parse_range({end: text})
    assert caught.value.column == end
    assert len(caught.value.message) < 120
    assert "from=2013" in caught.value.hint


@pytest.mark.parametrize("start", ["2013-07-10", "2013-07-11"])
def test_an_empty_or_backward_range_is_refused(start):
    with pytest.raises(RowError, match="is empty") as caught:
        parse_range({"from": start, "to": "2013-07-10"})
    assert caught.value.column == "to"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (DAY, "2013-07-10"),
        (DAY + 3_600_000_000, "2013-07-10T01:00Z"),
        (DAY + 61_000_000, "2013-07-10T00:01:01Z"),
        (DAY + 60_000_000, "2013-07-10T00:01Z"),
    ],
)
def test_what_is_written_is_read_back(moment, text):
    assert write_moment(moment) == text
    assert parse_range({"from": text}).from_us == moment


def test_a_query_holds_only_what_is_asked_for():
    assert write_query(TimeRange()) == ""
    assert write_query(TimeRange(DAY)) == "?from=2013-07-10"
    assert write_query(TimeRange(DAY, DAY + 60_000_000)) == "?from=2013-07-10&to=2013-07-10T00%3A01Z"


def links(asked, from_us, to_us, *, first_us=FIRST, last_us=LAST):
    return {one.label: one for one in range_links(asked, from_us, to_us, first_us=first_us, last_us=last_us)}


def test_links_lead_one_step_back_one_forth_to_all_and_to_now():
    found = links(TimeRange(DAY, DAY + 2 * DAY_US), DAY, DAY + 2 * DAY_US)
    assert found["Latest"] == Link("Latest", "")
    assert found["Everything"].query == "?from=2013-07-01&to=2013-07-31"
    assert found["Earlier"].query == "?from=2013-07-08&to=2013-07-10"
    assert found["Later"].query == "?from=2013-07-12&to=2013-07-14"


def test_no_link_leads_beyond_what_is_recorded():
    everything = TimeRange(parse_moment("2013-07-01"), parse_moment("2013-07-31"))
    found = links(everything, everything.from_us, everything.to_us)
    assert set(found) == {"Latest", "Everything"}
    assert found["Everything"].current
    assert "Later" not in links(TimeRange(), LAST - DAY_US, LAST + 1)
    assert links(TimeRange(), LAST - DAY_US, LAST + 1)["Latest"].current


def test_no_link_leaves_the_calendar():
    wide = TimeRange(DAY, parse_moment("2199-12-31"))
    assert "Earlier" not in links(wide, wide.from_us, wide.to_us)
    assert "Later" not in links(wide, wide.from_us, wide.to_us, last_us=wide.to_us)


def test_where_nothing_is_recorded_there_is_nowhere_else_to_go():
    assert set(links(TimeRange(), DAY, DAY + DAY_US, first_us=0, last_us=0)) == {"Latest"}


def test_a_single_recorded_moment_has_no_everything():
    assert "Everything" not in links(TimeRange(), DAY, DAY + DAY_US, first_us=DAY, last_us=DAY)
