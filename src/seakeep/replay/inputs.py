"""A version's inputs for requests that another version answered: taken from the record, or else recomputed.

An input is in the record if the version that answered had one of the same meaning: the same computation on the same
source, whatever its name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import msgspec
import numpy as np

from seakeep.errors import DataError
from seakeep.features.plan import view_columns
from seakeep.recorder.table import AskedTable
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import ModelDefinition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.recorder.table import PredictionTable


class History(Protocol):
    """Computes inputs again as of past moments; :class:`seakeep.project.recompute.PastFeatures` is one."""

    def at(self, asked: AskedTable) -> tuple[NDArray[np.bool_], Mapping[str, NDArray[Any]]]:
        """Which requests can be read again, bool ``(n,)``, and of those the inputs by column name."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of the rows of a table for which there are all.

    Attributes
    ----------
    found
        bool ``(n,)``: which rows of the table.
    numbers, categories
        As :class:`seakeep.recorder.table.PredictionTable` has them, of the rows found.
    """

    found: NDArray[np.bool_]
    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]


class InputSource:
    """Gives one version's inputs for recorded requests.

    Parameters
    ----------
    wanted
        The version's resolved definition.
    recorded
        The definition of each version that answered, by number.
    history
        Opens the history from which some of the wanted columns are recomputed, out of the requests.

    Attributes
    ----------
    recomputed
        Names of the columns that were recomputed so far.
    """

    def __init__(
        self,
        wanted: ModelDefinition,
        recorded: Callable[[int], ModelDefinition],
        history: Callable[[tuple[FeatureColumn, ...]], History],
    ) -> None:
        self._wanted, self._recorded, self._history = wanted, recorded, history
        self._wirings: dict[int, _Wiring] = {}
        self._histories: dict[tuple[FeatureColumn, ...], History] = {}

    @property
    def recomputed(self) -> tuple[str, ...]:
        """Names of the columns that were recomputed so far, in the model's order."""
        names = {column.name for columns in self._histories for column in columns}
        return tuple(column.name for column in self._wanted.columns if column.name in names)

    def needs_requests(self, versions: Iterable[int]) -> bool:
        """Whether an input must be recomputed for what one of some versions answered."""
        return any(self._wiring(number).missing for number in versions)

    def of(self, table: PredictionTable) -> Inputs:
        """The inputs for the rows of a table, at least one, all answered by one version.

        Raises
        ------
        TypeError
            Some must be recomputed and the table is no :class:`AskedTable`.
        """
        wiring = self._wiring(int(table.version[0]))
        if wiring.straight:
            return Inputs(np.ones(len(table), dtype=np.bool_), table.numbers, table.categories)
        found = np.ones(len(table), dtype=np.bool_)
        values: Mapping[str, NDArray[Any]] = {}
        if wiring.missing:
            if not isinstance(table, AskedTable):
                message = "inputs must be recomputed from the requests, which were not read"
                raise TypeError(message)
            if wiring.missing not in self._histories:
                self._histories[wiring.missing] = self._history(wiring.missing)
            found, values = self._histories[wiring.missing].at(table)
        given = {"number": table.numbers[found], "category": table.categories[found]}
        chosen: dict[str, list[NDArray[Any]]] = {"number": [], "category": []}
        for column, place in zip(self._wanted.columns, wiring.places, strict=True):
            chosen[column.kind].append(values[column.name] if place < 0 else given[column.kind][:, place])
        count = int(found.sum())
        return Inputs(
            found,
            np.column_stack([np.empty((count, 0)), *chosen["number"]]),
            np.column_stack([np.empty((count, 0), dtype=object), *chosen["category"]]),
        )

    def _wiring(self, number: int) -> _Wiring:
        if number not in self._wirings:
            self._wirings[number] = _wiring(self._recorded(number), self._wanted)
        return self._wirings[number]


@dataclasses.dataclass(frozen=True, slots=True)
class _Wiring:
    """Where each wanted column is among the recorded ones of its kind; -1 for those in ``missing``."""

    places: tuple[int, ...]
    missing: tuple[FeatureColumn, ...]
    straight: bool


def _wiring(recorded: ModelDefinition, wanted: ModelDefinition) -> _Wiring:
    known = meanings(recorded)
    place: dict[bytes, int] = {}
    for kind in ("number", "category"):
        names = [column.name for column in recorded.columns if column.kind == kind]
        place.update({known[name]: at for at, name in enumerate(names)})
    asked = meanings(wanted)
    places = tuple(place.get(asked[column.name], -1) for column in wanted.columns)
    return _Wiring(
        places=places,
        missing=tuple(column for column, at in zip(wanted.columns, places, strict=True) if at < 0),
        straight=[known[column.name] for column in recorded.columns]
        == [asked[column.name] for column in wanted.columns],
    )


def refuse_unread(version: str, columns: Sequence[str], count: int) -> NoReturn:
    """Say that nothing can be executed, because no request can be read again.

    Raises
    ------
    DataError
        Always.
    """
    message = (
        f"{version} needs {', '.join(columns)}: not recorded, and none of the {count:,} requests can be read again"
    )
    raise DataError(
        message,
        hint="the recorder hashes or drops their columns, let their events go, or they lack what the version needs",
    )


def meanings(definition: ModelDefinition) -> dict[str, bytes]:
    """What each column of a resolved definition computes, by name: equal bytes compute equal values from equal rows.

    How a row is recorded does not matter.
    """
    kinds = {column.name: column.kind for column in definition.columns}
    request = (definition.request.name, definition.request.time)
    found: dict[str, Any] = {
        name: (
            msgspec.structs.replace(view.source, personal={}),
            view.entity,
            view.features[feature].function,
            view.features[feature].value,
            window,
        )
        for view in definition.views
        for name, feature, window in view_columns(view)
    }
    found.update(definition.request_features)
    return {name: msgspec.json.encode((kind, request, found[name])) for name, kind in kinds.items()}
