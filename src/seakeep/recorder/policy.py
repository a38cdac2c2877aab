"""What of a record may be written: personal columns are kept, hashed, tokenised or dropped before they are encoded.

The rules are the ``personal`` columns that sources declare; they travel in every version's definition. A column whose
values the features or a label must read again from the records, or that is itself an input of the model, may only be
kept or tokenised (:mod:`seakeep.features.personal` sees to it), so that rebuilding and re-execution stay possible for
who holds the key.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from seakeep.errors import IntegrityError, RecorderError
from seakeep.features.personal import verbatim
from seakeep.recorder.table import AskedTable, PredictionTable
from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import Cell, EventBatch, Prediction
from seakeep.records.source import Events, Treatment
from seakeep.security.privacy import TOKEN, Protector

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Table = TypeVar("_Table", bound=PredictionTable)

KEY = "\0key"
"""What stands for the name of a source's key column, so that the keys of all sources are replaced alike."""

_STRICTEST: tuple[Treatment, ...] = ("keep", "tokenise", "hash", "drop")

Replace = Callable[[Any], Any]
"""Gives what may be written in place of a value that is not missing."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Rules:
    """How the records of one version are written.

    Attributes
    ----------
    request
        By column; None drops it.
    key
        For the prediction's key.
    categories
        By position among the categories.
    """

    request: dict[str, Replace | None]
    key: Replace | None
    categories: dict[int, Replace]


class Policies:
    """Applies what sources declare. What was not declared to it is not written: an unknown version is an error.

    Parameters
    ----------
    protector
        Makes hashes and tokens.
    """

    def __init__(self, protector: Protector) -> None:
        self._protector = protector
        self._lock = threading.Lock()
        self._versions: dict[str, _Rules | None] = {}
        self._sources: dict[str, dict[str, Replace | None]] = {}
        self._treatments: dict[str, dict[str, Treatment]] = {}

    def learn(self, bundle: str, definition: ModelDefinition) -> None:
        """Take in the declarations of a version, before its first record; may be called from another thread.

        Where versions treat a column of a source in different ways, the strictest counts, for events.
        """
        with self._lock:
            for source in (definition.request, definition.label.source, *(view.source for view in definition.views)):
                known = self._treatments.setdefault(source.name, {})
                for column, treatment in source.personal.items():
                    known[column] = max(treatment, known.get(column, "keep"), key=_STRICTEST.index)
                strictest = msgspec.structs.replace(source, personal=dict(known))
                self._sources[source.name] = self._replacements(strictest)
            self._versions[bundle] = self._rules(definition)

    def apply(self, record: Prediction | EventBatch) -> Prediction | EventBatch:
        """The record as it may be written.

        Raises
        ------
        RecorderError
            The version or the source was never declared.
        """
        try:
            if isinstance(record, EventBatch):
                return _treated_events(record, self._sources[record.source])
            rules = self._versions[record.bundle]
        except KeyError as error:
            message = f"nothing is known of {error.args[0]!r}, whose record is to be written"
            raise RecorderError(message, hint="declare it to the recorder first") from None
        return _treated(record, rules) if rules else record

    def as_written(self, definition: ModelDefinition, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Inputs of a model, by name and each of shape ``(n,)``, as its records have them: to be compared with these."""
        replaced = dict(values)
        for name, replace in self._inputs(definition).items():
            if name in values:
                replaced[name] = _mapped(replace, values[name])
        return replaced

    def reveal_table(self, table: _Table, definition: ModelDefinition) -> _Table:
        """Predictions of one version with the tokens in their inputs and requests read, to be computed again.

        Their keys stay as they are: so are those of the outcomes.
        """
        treated = self._inputs(definition)
        names = [column.name for column in definition.columns if column.kind == "category"]
        if table.categories.shape[1] == len(names) and not treated.keys().isdisjoint(names):
            columns = zip(names, table.categories.T, strict=True)
            shown = [_mapped(self._revealed_input, one) if name in treated else one for name, one in columns]
            table = dataclasses.replace(table, categories=np.column_stack(shown))
        if isinstance(table, AskedTable) and "tokenise" in definition.request.personal.values():
            rows = [msgspec.json.encode(self._revealed_request(msgspec.json.decode(row))) for row in table.request]
            table = dataclasses.replace(table, request=np.array(rows, dtype=object))
        return table

    def forms(self, value: str) -> frozenset[str]:
        """Every text a value may have in the records of the declared sources: itself, and what replaces it."""
        found = {value}
        for treated in self._sources.values():
            for replace in treated.values():
                if replace:
                    found.update(replace(one) for one in (value, *_numbers(value)))
        return frozenset(found)

    def reveal(self, record: EventBatch) -> EventBatch:
        """A batch of events with its tokens read, as the features are to see it."""
        return msgspec.structs.replace(record, columns=self.reveal_events(record.columns))

    def reveal_events(self, columns: Mapping[str, list[Cell]]) -> dict[str, list[Cell]]:
        """The same for columns of events."""
        return {
            name: [self._revealed(name, cell) for cell in cells] if _has_tokens(cells) else cells
            for name, cells in columns.items()
        }

    def reveal_prediction(self, prediction: Prediction) -> Prediction:
        """A prediction with its tokens read, as it was answered, for who may see it."""
        return msgspec.structs.replace(
            prediction,
            key=self._revealed("", prediction.key),
            request=self._revealed_request(prediction.request),
            categories=list(map(self._revealed_input, prediction.categories)),
        )

    def _revealed_request(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._revealed(name, value) for name, value in row.items()}

    def _revealed_input(self, text: str) -> Any:
        return self._revealed("", text)

    def _revealed(self, name: str, cell: Any) -> Any:
        if not (isinstance(cell, str) and cell.startswith(TOKEN)):
            return cell
        try:
            column, value = self._protector.reveal(cell)
        except IntegrityError:
            return cell  # a text of the client that only looks like one
        return value if not name or column in {name, KEY} else cell

    def _rules(self, definition: ModelDefinition) -> _Rules | None:
        request = definition.request
        treated = self._replacements(request)
        categories = [column.name for column in definition.columns if column.kind == "category"]
        inputs = {categories.index(name): replace for name, replace in self._inputs(definition).items()}
        if not (treated or inputs):
            return None
        return _Rules(request=treated, key=treated.get(request.key), categories=inputs)

    def _inputs(self, definition: ModelDefinition) -> dict[str, Replace]:
        found = {name: self._replacement(*place) for name, place in verbatim(definition).items()}
        return {name: replace for name, replace in found.items() if replace}

    def _replacements(self, source: Events) -> dict[str, Replace | None]:
        return {name: self._replacement(source, name) for name, how in source.personal.items() if how != "keep"}

    def _replacement(self, source: Events, column: str) -> Replace | None:
        treatment = source.personal.get(column, "keep")
        if treatment not in {"hash", "tokenise"}:
            return None
        make = self._protector.hash if treatment == "hash" else self._protector.token
        if column == source.key:
            return lambda value: make(KEY, str(value))
        return lambda value: make(column, value)


def _treated(one: Prediction, rules: _Rules) -> Prediction:
    categories = one.categories
    if rules.categories and categories:
        categories = list(categories)
        for place, replace in rules.categories.items():
            categories[place] = categories[place] and replace(categories[place])
    return msgspec.structs.replace(
        one,
        key=rules.key(one.key) if rules.key and one.key else one.key,
        request=_treated_columns(one.request, rules.request, _one),
        categories=categories,
    )


def _treated_events(batch: EventBatch, rules: Mapping[str, Replace | None]) -> EventBatch:
    if rules.keys().isdisjoint(batch.columns):
        return batch
    return msgspec.structs.replace(batch, columns=_treated_columns(batch.columns, rules, _all))


def _treated_columns(
    columns: Mapping[str, Any], rules: Mapping[str, Replace | None], each: Callable[[Replace, Any], Any]
) -> dict[str, Any]:
    found = {}
    for name, value in columns.items():
        if name not in rules:
            found[name] = value
        elif replace := rules[name]:
            found[name] = each(replace, value)
    return found


def _one(replace: Replace, value: Any) -> Any:
    return None if value is None else replace(value)


def _all(replace: Replace, cells: Iterable[Cell]) -> list[Cell]:
    return [_one(replace, cell) for cell in cells]


def _mapped(replace: Replace, column: NDArray[Any]) -> NDArray[Any]:
    """A column of texts with each distinct one replaced, but for ``""``, which is missing."""
    known = {text: replace(text) if text else "" for text in set(column.tolist())}
    return np.array([known[text] for text in column.tolist()], dtype=object)


def _has_tokens(cells: Iterable[Cell]) -> bool:
    return any(isinstance(cell, str) and cell.startswith(TOKEN) for cell in cells)


def _numbers(text: str) -> list[Any]:
    """The numbers that a text may have been sent as."""
    try:
        number = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return []
    return [number] if type(number) in {int, float} else []
