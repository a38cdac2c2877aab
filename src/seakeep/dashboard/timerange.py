"""The one time range of a page, in its address: ``?from=2013-07-01&to=2013-08-01``, the end excluded."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from seakeep.clock import DAY_US, MICROSECONDS, format_day, format_moment, parse_moment
from seakeep.errors import RowError

_LAST_US = 7_258_118_400 * MICROSECONDS  # 2200-01-01: keeps every shifted range inside what a calendar can write


class TimeRange(msgspec.Struct, frozen=True):
    """What the address asks for; an end that is ``None`` is left to the source."""

    from_us: int | None = None
    to_us: int | None = None

    @property
    def follows_now(self) -> bool:
        """Whether the range moves with the present, so that the page is worth refreshing."""
        return self.to_us is None


class Link(msgspec.Struct, frozen=True):
    """A way to another range: its words, and the query of its address."""

    label: str
    query: str
    current: bool = False


def parse_range(query: Mapping[str, str]) -> TimeRange:
    """Read ``from`` and ``to`` of an address.

    Raises
    ------
    RowError
        One of them is not a moment between 1970 and 2200, or they are not in order; ``column`` names it.
    """
    start, end = _moment(query, "from"), _moment(query, "to")
    if start is not None and end is not None and start >= end:
        raise RowError(
            f"the range from {format_moment(start)} to {format_moment(end)} is empty",
            column="to",
            hint="`to` must be later than `from`",
        )
    return TimeRange(start, end)


def _moment(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        moment = parse_moment(text)
    except (ValueError, OverflowError):
        moment = -1
    if not 0 <= moment <= _LAST_US:
        raise RowError(
            f"{name}={text[:40]!r} is not a moment between 1970 and 2200",
            column=name,
            hint="write a day or a moment in UTC, as in ?from=2013-07-01&to=2013-07-15T06:00:00Z",
        )
    return moment


def write_moment(moment_us: int) -> str:
    """How an address writes a moment: the day alone where it is midnight; one outside the calendar as its nearest end."""
    moment_us = _in_calendar(moment_us)
    return format_day(moment_us) if moment_us % DAY_US == 0 else format_moment(moment_us).replace(":00Z", "Z")


def _in_calendar(moment_us: int) -> int:
    return min(max(moment_us, 0), _LAST_US)


def write_query(asked: TimeRange) -> str:
    """The query that asks for this range, with its ``?``; empty if nothing is asked for."""
    ends = {"from": asked.from_us, "to": asked.to_us}
    text = urlencode({name: write_moment(end) for name, end in ends.items() if end is not None})
    return f"?{text}" if text else ""


def range_links(asked: TimeRange, from_us: int, to_us: int, *, first_us: int, last_us: int) -> tuple[Link, ...]:
    """Ways on from a shown range: one step earlier and later, everything recorded, and the range that follows now."""
    width = to_us - from_us
    every = TimeRange(_in_calendar(first_us // DAY_US * DAY_US), _in_calendar(-(-(last_us + 1) // DAY_US) * DAY_US))
    ways = (
        ("Everything", every, last_us > first_us),
        ("Earlier", TimeRange(from_us - width, from_us), from_us > first_us),
        ("Later", TimeRange(to_us, to_us + width), to_us <= last_us),
    )
    links = [
        Link(label, write_query(way), current=asked == way)
        for label, way, leads in ways
        if last_us and leads and _can_be_asked(way)
    ]
    return (Link("Latest", "", current=asked == TimeRange()), *links)


def _can_be_asked(way: TimeRange) -> bool:
    return way.from_us is not None and way.to_us is not None and 0 <= way.from_us < way.to_us <= _LAST_US
