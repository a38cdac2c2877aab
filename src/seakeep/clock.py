"""Time and identity, injected: nobody else reads the clock or makes an identifier.

All moments in Seakeep are ``int`` microseconds since 1970-01-01 UTC, in names that end in ``_us``.
"""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MICROSECONDS = 1_000_000
DAY_US = 86_400 * MICROSECONDS
LONGEST_US = 36_525 * DAY_US
"""The longest duration that can be written: a hundred years."""

_UNITS_US = {
    "s": MICROSECONDS,
    "m": 60 * MICROSECONDS,
    "h": 3_600 * MICROSECONDS,
    "d": DAY_US,
    "w": 7 * DAY_US,
}
_DURATION = re.compile(r"([0-9]{1,12})([smhdw])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """The one source of the present moment."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1_000


class FixedClock:
    """A clock that stands where it is put; for tests and for replays.

    Parameters
    ----------
    now_us
        The moment it shows; assign ``.value_us`` to move it.
    """

    def __init__(self, now_us: int) -> None:
        self.value_us = now_us

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        return self.value_us


class Ids(Protocol):
    """Makes identifiers that sort by the time they were made."""

    def new(self) -> str:
        """A fresh identifier."""
        ...


class TimeOrderedIds:
    """Identifiers of 26 characters: 10 of milliseconds, 16 of randomness, in Crockford base 32 (the ULID layout).

    References
    ----------
    ULID specification, https://github.com/ulid/spec
    """

    ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self) -> str:
        """A fresh identifier; collisions have probability 2**-80 within one millisecond."""
        value = (self._clock.now_us() // 1_000) << 80 | int.from_bytes(os.urandom(10))
        alphabet = self.ALPHABET
        return "".join([alphabet[(value >> shift) & 31] for shift in range(125, -1, -5)])


def id_number(identifier: str) -> int:
    """The 128 bits of an identifier of :class:`TimeOrderedIds`.

    Raises
    ------
    ValueError
        It is none.
    """
    number = 0
    for letter in identifier:
        number = number << 5 | TimeOrderedIds.ALPHABET.index(letter)
    return number


def parse_duration(text: str) -> int:
    """Microseconds in a duration such as ``"90s"``, ``"15m"``, ``"6h"``, ``"7d"`` or ``"2w"``.

    Raises
    ------
    ValueError
        The text is not a non-negative whole number followed by one of ``s m h d w``, or longer than a hundred years.
    """
    parts = _DURATION.fullmatch(text)
    if parts is None:
        message = f"{text!r} is not a duration; write a whole number and a unit, as in '90s', '15m', '6h', '7d', '2w'"
        raise ValueError(message)
    duration_us = int(parts[1]) * _UNITS_US[parts[2]]
    if duration_us > LONGEST_US:
        message = f"{text!r} is longer than a hundred years"
        raise ValueError(message)
    return duration_us


def format_duration(duration_us: int) -> str:
    """A duration in its largest fitting unit: ``41s``, ``12m``, ``3.5h``, ``2.1d``."""
    seconds = duration_us / MICROSECONDS
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + unit
    return f"{seconds:.0f}s"


def parse_moment(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 date or date-time; without a zone it is UTC.

    Raises
    ------
    ValueError
        The text is not ISO 8601.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def format_moment(moment_us: int) -> str:
    """ISO 8601 text of a moment, in UTC, to the second: ``2013-07-15T06:00:00Z``."""
    return _datetime(moment_us).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_day(moment_us: int) -> str:
    """The UTC day of a moment: ``2013-07-15``."""
    return _datetime(moment_us).date().isoformat()


def _datetime(moment_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=moment_us)
