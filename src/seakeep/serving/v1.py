"""Bodies of the native routes: rows that ask for predictions, events, and their answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from typing import Literal as OneOf

import msgspec

from seakeep.errors import RowError
from seakeep.serving.errors import RequestError

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not what was declared."""

_LARGE_BYTES = 512 * 1024
"""Above this size the rows of a body are counted before they are kept: each kept one takes some 70 bytes."""
_NOT_JSON = re.compile(rb"[\[:,\s](?:-?Infinity|NaN)\s*[,}\]]")


class RowsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``{"rows": [{...}, ...]}``; rows are read later, by their model's schema."""

    rows: list[msgspec.Raw]


class EventsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``{"events": [{...}, ...]}``; events are read later, by their source's schema."""

    events: list[msgspec.Raw]


class _Counted(msgspec.Struct, frozen=True, gc=False):
    """An object of which nothing is kept."""


class _CountedRows(msgspec.Struct, frozen=True):
    rows: list[_Counted] = []
    events: list[_Counted] = []


class RowAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The answer to one row.

    Attributes
    ----------
    unknown
        Views that know nothing of the row's entity: their features are missing.
    rung
        What stood in for a full answer (``stale``, ``standby`` or ``rule``), or that it is an earlier one (``cached``); ``""``,
        which is not sent: nothing.
    """

    id: str
    key: str
    score: float
    decision: bool
    version: int
    unknown: tuple[str, ...]
    rung: OneOf["", "stale", "standby", "rule", "cached"] = ""


class ValueAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The answer to one row of a model whose label is a number: ``value``; the rest is as of a :class:`RowAnswer`."""

    id: str
    key: str
    value: float
    version: int
    unknown: tuple[str, ...]
    rung: OneOf["", "stale", "standby", "rule", "cached"] = ""

    @property
    def score(self) -> float:
        """What the record calls it."""
        return self.value

    @property
    def decision(self) -> bool:
        """A number decides nothing."""
        return False


class ClassAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename={"answer": "class"}):
    """The answer to one row of a model of several classes; the rest is as of a :class:`RowAnswer`.

    Attributes
    ----------
    answer
        The class, ``class`` in JSON: the first of the highest probability.
    probability
        Its probability.
    probabilities
        Of every class by its name, in the declared order.
    """

    id: str
    key: str
    answer: str
    probability: float
    probabilities: dict[str, float]
    version: int
    unknown: tuple[str, ...]
    rung: OneOf["", "stale", "standby", "rule", "cached"] = ""

    @property
    def score(self) -> float:
        """What the record calls it."""
        return self.probability

    @property
    def decision(self) -> bool:
        """A class is no yes or no."""
        return False


Answer = RowAnswer | ValueAnswer | ClassAnswer
"""The answer to one row, as its model's kind has it."""


class PredictAnswer(msgspec.Struct, frozen=True):
    """Answers in the order of the rows.

    Attributes
    ----------
    model_version
        The version that answered, or ``""`` if rows were answered by several.
    """

    model_name: str
    model_version: str
    predictions: Sequence[Any]


class EventsAnswer(msgspec.Struct, frozen=True):
    """Events that were taken: they are durable, and later predictions see them.

    Attributes
    ----------
    duplicate
        True if a batch of the same idempotency key had been taken before; this one changed nothing.
    """

    accepted: int
    duplicate: bool


_rows = msgspec.json.Decoder(RowsBody)
_events = msgspec.json.Decoder(EventsBody)
_counter = msgspec.json.Decoder(_CountedRows)


def parse_rows(body: bytes, max_rows: int) -> list[msgspec.Raw]:
    """The rows of a request body.

    Raises
    ------
    RequestError
        The body is not of the form, or there are no rows or too many.
    """
    try:
        if len(body) > _LARGE_BYTES:
            _check_count("rows", len(_counter.decode(body).rows), max_rows)
        rows = _rows.decode(body).rows
    except UNREADABLE as error:
        raise explain(body, error, 'send {"rows": [{...}]}') from error
    return _counted(body, "rows", rows, max_rows)


def parse_events(body: bytes, max_rows: int) -> list[msgspec.Raw]:
    """The events of a request body; raises as :func:`parse_rows` does."""
    try:
        if len(body) > _LARGE_BYTES:
            _check_count("events", len(_counter.decode(body).events), max_rows)
        events = _events.decode(body).events
    except UNREADABLE as error:
        raise explain(body, error, 'send {"events": [{...}]}') from error
    return _counted(body, "events", events, max_rows)


def _counted(body: bytes, name: str, found: list[msgspec.Raw], most: int) -> list[msgspec.Raw]:
    if not found:
        hint = f'send {{"{name}": [{{...}}]}} with at least one of them'
        raise RequestError(400, f"there are no {name}", hint=hint)
    _check_count(name, len(found), most)
    quoted = f'"{name}"'.encode()
    if (body.count(quoted) > 1 or b"\\u" in body) and (
        _beside(body, found, quoted) > 1 or _beside(body, found, b"\\u")  # an escape may hide the name
    ):
        raise RequestError(400, f"{name!r} is there twice", hint=f"send {name!r} once, and without escapes in the name")
    return found


def _beside(body: bytes, rows: list[msgspec.Raw], text: bytes) -> int:
    """How often something stands in a body beside its rows."""
    return body.count(text) - sum([bytes(row).count(text) for row in rows])


def _check_count(name: str, found: int, most: int) -> None:
    if found > most:
        raise RequestError(413, f"{found} {name} are more than {most}", hint="send several requests")


def explain(body: bytes, error: Exception, hint: str) -> RequestError:
    """Say what is wrong with a body that did not parse."""
    if _NOT_JSON.search(body):
        return RequestError(400, "NaN and Infinity are not JSON", hint="send null for a missing value")
    return RequestError(400, f"the body cannot be read: {reason(error)}", hint=hint)


def reason(error: Exception) -> str:
    """What a decoder says, as the end of a sentence."""
    text = str(error)[:200]
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def check_rows(rows: bytes, raw: Sequence[Mapping[str, Any]]) -> None:
    """Refuse rows in which a column stands twice: which of the two would count?

    Each name and each string value of a flat object has two quotation marks. Rows that hold no more than that have no name
    twice; only one that does is parsed again, with care, so that hostile bodies cost little more than others.

    Parameters
    ----------
    rows
        A JSON array.
    raw
        The same, decoded: flat objects.

    Raises
    ------
    RowError
        A row has a column twice.
    """
    strings = [len(row) + [type(value) for value in row.values()].count(str) for row in raw]
    if rows.count(b'"') == 2 * sum(strings) or _quotes(rows) == 2 * sum(strings):
        return
    for row, (sent, count) in enumerate(zip(_split(rows), strings, strict=True)):
        if _quotes(bytes(sent)) != 2 * count:
            refuse_duplicates(bytes(sent), row)


_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _quotes(rows: bytes) -> int:
    """Quotation marks around names and strings: those that no odd number of backslashes escapes."""
    return rows.replace(rb"\\", b"").replace(rb"\"", b"").count(b'"')


def refuse_duplicates(body: bytes, row: int = 0) -> None:
    """Refuse JSON in which an object has a name twice; it takes some microseconds for each name.

    Parameters
    ----------
    row
        Which row it is.

    Raises
    ------
    RowError
        It has, or it cannot be read.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                message = f"{name[:64]!r} is there twice in one object"
                raise RowError(message, row=row, column=name, hint="send each name once")
            found[name] = value
        return found

    try:
        json.loads(body, object_pairs_hook=unique, parse_int=str)  # a number may have any length
    except RecursionError as error:
        message = "the body is nested too deeply"
        raise RowError(message) from error
    except ValueError as error:
        message = f"the body cannot be read: {reason(error)}"
        raise RowError(message, hint="send JSON in UTF-8") from error
