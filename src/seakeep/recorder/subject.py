"""Whose records are to be found: a person or a thing, by any text that stands for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from seakeep.recorder.parquet import literal
from seakeep.records.prediction import EventBatch, Prediction

if TYPE_CHECKING:
    from mmap import mmap


@dataclasses.dataclass(frozen=True)
class Subject:
    """A subject, as records may name it.

    Attributes
    ----------
    forms
        Every text that stands for it: the key itself, and its hashes and tokens.
    columns
        Columns of requests and events that name subjects.
    """

    forms: frozenset[str]
    columns: frozenset[str]

    def asked(self, prediction: Prediction) -> bool:
        """Whether a prediction was asked for it."""
        return (
            prediction.key in self.forms
            or not self.forms.isdisjoint(prediction.categories)
            or any(self._is(prediction.request.get(column)) for column in self.columns)
        )

    def told(self, batch: EventBatch) -> list[int]:
        """The rows of a batch of events that tell of it."""
        cells = [batch.columns[column] for column in self.columns if column in batch.columns]
        return [row for row, values in enumerate(zip(*cells, strict=True)) if any(map(self._is, values))]

    def may_be_in(self, data: bytes | memoryview | mmap) -> bool:
        """Whether the bytes of a segment may name it."""
        if self._may_be_a_number:
            return True  # numbers are not written as text
        content = bytes(data)
        return any(form in content for form in self.texts)

    @property
    def condition(self) -> str:
        """A condition, in SQL over the columns of a file of predictions, that holds wherever :meth:`asked` may."""
        forms = ", ".join(map(literal, sorted(self.forms)))
        spelled = (msgspec.json.encode(form)[1:-1].decode() for form in sorted(self.forms))
        request = " OR ".join(f"contains(request, {literal(text)})" for text in spelled)
        return f"key IN ({forms}) OR list_has_any(categories, [{forms}]) OR {request}"

    @cached_property
    def texts(self) -> tuple[bytes, ...]:
        """The forms as bytes, as files have them."""
        return tuple(sorted(form.encode() for form in self.forms))

    @cached_property
    def _may_be_a_number(self) -> bool:
        return any(_is_number(form) for form in self.forms)

    def _is(self, cell: Any) -> bool:
        return cell is not None and not isinstance(cell, bool) and str(cell) in self.forms


def without_rows(batch: EventBatch, rows: Iterable[int]) -> EventBatch:
    """A batch without some of its rows. Without any it stays, so that it still counts once if it is sent again."""
    gone = set(rows)
    columns = {
        name: [cell for row, cell in enumerate(cells) if row not in gone] for name, cells in batch.columns.items()
    }
    return msgspec.structs.replace(batch, columns=columns)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
