"""Sources: streams of events with a time at which each could be known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Literal as OneOf

import msgspec

from seakeep.clock import parse_duration

Kind = OneOf["float", "int", "bool", "string", "time"]
Treatment = OneOf["keep", "tokenise", "hash", "drop"]


class ColumnSchema(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a source: its name, its kind, and whether a value may be missing."""

    name: str
    kind: Kind
    nullable: bool = True


class Events(msgspec.Struct, frozen=True):
    """A stream of events.

    Parameters
    ----------
    name
        Name of the source, as used in routes and in the recorder.
    time
        Column that holds the time of the event.
    key
        Column that identifies an event; joins a prediction with its outcome.
    delay
        How long after ``time`` the event can be known. Features and labels count an event only from then on.
    personal
        Columns with personal data, each with what becomes of it before anything is recorded: ``"keep"``,
        ``"tokenise"`` (only the key's holder can read it), ``"hash"`` (nobody can, but equal values stay equal) or
        ``"drop"``.
    """

    name: str
    time: str
    key: str = ""
    delay: str = "0s"
    personal: dict[str, Treatment] = {}

    def __hash__(self) -> int:
        return hash((self.name, self.time, self.key, self.delay))

    @property
    def delay_us(self) -> int:
        """The delay in microseconds."""
        return parse_duration(self.delay)


Loader = Callable[[], Any]
"""Reads a source's history: a table of columns (mapping of arrays, data frame, Arrow table or DuckDB relation)."""
