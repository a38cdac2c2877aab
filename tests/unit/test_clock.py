import itertools
import time

import pytest

from seakeep.clock import (
    DAY_US,
    LONGEST_US,
    MICROSECONDS,
    FixedClock,
    SystemClock,
    TimeOrderedIds,
    format_day,
    format_duration,
    format_moment,
    id_number,
    parse_duration,
    parse_moment,
)


def test_the_system_clock_is_the_machines_in_microseconds():
    before = time.time_ns() // 1_000
    now = SystemClock().now_us()
    assert isinstance(now, int)
    assert before <= now <= time.time_ns() // 1_000


def test_a_fixed_clock_stands_until_it_is_moved():
    clock = FixedClock(5)
    assert (clock.now_us(), clock.now_us()) == (5, 5)
    clock.value_us = 9
    assert clock.now_us() == 9


def test_identifiers_are_distinct_and_in_crockfords_alphabet():
    ids = TimeOrderedIds(FixedClock(1_700_000_000_000_000))
    made = {ids.new() for _ in range(1_000)}
    assert len(made) == 1_000
    assert {len(one) for one in made} == {26}
    assert set("".join(made)) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_identifiers_sort_by_the_millisecond_they_were_made_in():
    clock = FixedClock(0)
    ids, made = TimeOrderedIds(clock), []
    for moment_us in (0, 1_000, 2_000, 1_700_000_000_000_000, 1_700_000_000_001_000, 253_402_300_799_999_000):
        clock.value_us = moment_us
        made.append(ids.new())
    assert made == sorted(made)


def test_the_first_ten_characters_are_the_time_of_the_ulid_specification():
    # https://github.com/ulid/spec: 01ARZ3NDEK is 1469922850259 milliseconds.
    assert TimeOrderedIds(FixedClock(1_469_922_850_259_000)).new().startswith("01ARZ3NDEK")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("15m", 900), ("6h", 21_600), ("7d", 604_800), ("2w", 1_209_600), ("007d", 604_800)],
)
def test_a_duration_is_a_whole_number_and_a_unit(text, seconds):
    assert parse_duration(text) == seconds * MICROSECONDS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "5",
        "-5s",
        "+5s",
        "1.5h",
        "5 s",
        " 5s",
        "5s ",
        "5s\n",
        "5S",
        "5y",
        "1h30m",
        "٣d",
        "³d",
        "1_000s",
        "1e3s",
    ],
)
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36526d", "876601h", "5218w", "999999999999w"])
def test_a_duration_fits_into_a_hundred_years(text):
    with pytest.raises(ValueError, match="longer than a hundred years"):
        parse_duration(text)
    assert parse_duration("36525d") == LONGEST_US


def test_a_number_too_long_to_be_read_is_no_duration():
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration("9" * 5_000 + "s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (41, "41s"),
        (60, "1m"),
        (720, "12m"),
        (3_600, "1h"),
        (12_600, "3.5h"),
        (86_400, "1d"),
        (181_440, "2.1d"),
        (8_640_000, "100d"),
    ],
)
def test_a_duration_is_shown_in_its_largest_fitting_unit(seconds, text):
    assert format_duration(round(seconds * MICROSECONDS)) == text


@pytest.mark.parametrize(
    ("text", "moment_us"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01 01:00+01:00", 0),
        ("2013-07-15", 15_901 * DAY_US),
        ("2013-07-15T06:00:00-05:30", 15_901 * DAY_US + 41_400 * MICROSECONDS),
        ("1969-12-31T23:59:59.999999", -1),
        ("9999-12-31T23:59:59.999999", 253_402_300_799_999_999),
        ("0001-01-01", -62_135_596_800_000_000),
    ],
)
def test_a_moment_is_iso_8601_and_utc_without_a_zone(text, moment_us):
    assert parse_moment(text) == moment_us


@pytest.mark.parametrize(
    "text", ["", "today", "2013-13-01", "2013-02-29", "15.07.2013", "2013-07-15T25:00", "1373868000"]
)
def test_anything_else_is_no_moment(text):
    with pytest.raises(ValueError):
        parse_moment(text)


@pytest.mark.parametrize(
    ("moment_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (999_999, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
    ],
)
def test_a_moment_is_shown_to_the_second_it_lies_in(moment_us, text):
    assert format_moment(moment_us) == text
    assert format_day(moment_us) == text[:10]


def test_days_begin_at_midnight_utc():
    edges = [(-1, "1969-12-31"), (0, "1970-01-01"), (DAY_US - 1, "1970-01-01"), (DAY_US, "1970-01-02")]
    assert [format_day(moment_us) for moment_us, _ in edges] == [day for _, day in edges]
    assert all(a < b for a, b in itertools.pairwise(format_moment(day * DAY_US) for day in range(-3, 3)))


def test_an_identifier_is_a_number_of_128_bits_in_the_same_order():
    clock = FixedClock(1_469_922_850_259_000)
    earlier = TimeOrderedIds(clock).new()
    clock.value_us += 1_000
    later = TimeOrderedIds(clock).new()
    assert 0 < id_number(earlier) < id_number(later) < 2**128
    assert id_number(earlier) >> 80 == 1_469_922_850_259
    assert id_number("00000000000000000000000010") == 32
    with pytest.raises(ValueError):
        id_number("lower case and longer than others")
