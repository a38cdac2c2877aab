import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seakeep.clock import (
    LONGEST_US,
    MICROSECONDS,
    FixedClock,
    TimeOrderedIds,
    format_day,
    format_duration,
    format_moment,
    parse_duration,
    parse_moment,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_US, LAST_US = parse_moment("0001-01-01"), parse_moment("9999-12-31T23:59:59.999999")
MOMENTS = st.integers(FIRST_US, LAST_US)
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


@given(MOMENTS)
def test_every_moment_is_read_as_it_was_written_to_the_microsecond(moment_us):
    written = (EPOCH + timedelta(microseconds=moment_us)).isoformat()
    assert parse_moment(written) == moment_us
    assert parse_moment(written.removesuffix("+00:00")) == moment_us


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001 -- the zone is drawn beside it
def test_the_zone_moves_a_moment(local, minutes):
    zoned = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_moment(zoned.isoformat()) == parse_moment(local.isoformat()) - minutes * 60 * MICROSECONDS


@given(MOMENTS)
def test_what_is_shown_is_the_second_and_the_day_a_moment_lies_in(moment_us):
    shown = format_moment(moment_us)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown)
    assert 0 <= moment_us - parse_moment(shown) < MICROSECONDS
    assert format_day(moment_us) == shown[:10]
    assert parse_moment(format_day(moment_us)) <= moment_us


@given(st.lists(MOMENTS, min_size=2, max_size=5))
def test_shown_moments_sort_as_moments_do(moments):
    shown = [format_moment(one) for one in sorted(moments)]
    assert shown == sorted(shown)


@given(st.integers(0, 10**12 - 1), st.sampled_from(list(UNITS)))
def test_a_duration_is_its_number_times_its_unit_up_to_a_hundred_years(number, unit):
    duration_us = number * UNITS[unit] * MICROSECONDS
    if duration_us <= LONGEST_US:
        assert parse_duration(f"{number}{unit}") == duration_us
    else:
        with pytest.raises(ValueError, match="hundred years"):
            parse_duration(f"{number}{unit}")


@given(st.text(max_size=8) | st.from_regex(r"[-+ ]?[0-9.]*[a-z]?", fullmatch=True))
def test_any_text_is_a_duration_or_a_clear_fault(text):
    parts = re.fullmatch(r"([0-9]{1,12})([smhdw])", text)
    duration_us = int(parts[1]) * UNITS[parts[2]] * MICROSECONDS if parts else -1
    if 0 <= duration_us <= LONGEST_US:
        assert parse_duration(text) == duration_us
    else:
        with pytest.raises(ValueError, match="longer than a hundred years" if parts else "is not a duration; write"):
            parse_duration(text)


@given(st.integers(0, LONGEST_US))
def test_a_shown_duration_is_near_the_true_one(duration_us):
    shown = format_duration(duration_us)
    number, unit = float(shown[:-1]), UNITS[shown[-1]] * MICROSECONDS
    rounding = 0.5 if shown[-1] == "s" else 0.05
    assert abs(number * unit - duration_us) <= rounding * unit + 1
    if shown[-1] != "s":
        assert number >= 1


@given(st.lists(st.integers(0, LAST_US), min_size=2, max_size=8))
def test_identifiers_sort_by_their_millisecond(moments):
    clock = FixedClock(0)
    ids, made = TimeOrderedIds(clock), []
    for moment_us in moments:
        clock.value_us = moment_us
        made.append((moment_us // 1_000, ids.new()))
    assert [ms for ms, _ in sorted(made, key=lambda one: one[1])] == sorted(ms for ms, _ in made)
    assert len({one for _, one in made}) == len(made)
