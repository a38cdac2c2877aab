"""Features at the moment of asking: what the views hold, and what arriving events change in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.clock import Clock
from seakeep.errors import DataError, FeaturesError
from seakeep.features import online
from seakeep.features.ingest import Ingestion
from seakeep.features.online import OnlineStore, OnlineTransaction, Snapshot, ViewEntry
from seakeep.features.plan import ViewPlan, entity_names, plan_view, read_columns
from seakeep.features.remember import RememberingStore
from seakeep.features.state import Reader, Reading
from seakeep.features.transform import Compiled, compiled
from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import Cell

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The model's inputs for ``n`` rows.

    Attributes
    ----------
    numbers
        float64 ``(n, numbers)``, NaN for missing.
    categories
        Object ``(n, categories)`` of ``str``, ``""`` for missing.
    view_times_us
        int64 ``(n, views)``: when the newest event in each view became known; 0 if it had none.
    unknown
        For each row the views that had no state for its entity, or none that reaches back to its moment.
    """

    numbers: NDArray[np.float64]
    categories: NDArray[np.object_]
    view_times_us: NDArray[np.int64]
    unknown: list[tuple[str, ...]]


class FeatureService:
    """Looks up and keeps up to date the views of the models that are served.

    Parameters
    ----------
    store
        Where the views are.
    recalled
        Where what was read of the store is remembered, if it is; see :meth:`recall`.
    clock
        Guards the views against events dated in the future: they count, but let nothing older go.
    """

    def __init__(
        self, store: OnlineStore, *, clock: Clock | None = None, recalled: RememberingStore | None = None
    ) -> None:
        self._store = store
        self._recalled = recalled
        self._clock = clock
        self._ingestion = Ingestion()
        self._assemblers: dict[int, _Assembler] = {}

    def add(self, definition: ModelDefinition) -> None:
        """Keep the views of a resolved definition up to date from now on; those already kept stay as they are."""
        enter_views(definition, self._store)
        self._assemblers[id(definition)] = _Assembler(definition)

    def assemble(
        self, definition: ModelDefinition, table: Mapping[str, NDArray[Any]], times_us: NDArray[np.int64]
    ) -> Assembled:
        """The inputs of the rows in ``table``, each as of its own moment; an unknown entity is not an error."""
        assembler = self._assemblers.get(id(definition))
        if assembler is None:
            self.add(definition)
            assembler = self._assemblers[id(definition)]
        with self._store.read() as snapshot:
            return assembler.assemble(snapshot, table, times_us)

    def recall(
        self,
        definition: ModelDefinition,
        table: Mapping[str, NDArray[Any]],
        times_us: NDArray[np.int64],
        most_age_s: float,
    ) -> Assembled:
        """As :meth:`assemble`, from what was read of the store in the last seconds, without asking it.

        Raises
        ------
        FeaturesError
            A state of one of the rows is not remembered, or nothing is.
        """
        assembler = self._assemblers.get(id(definition))
        if assembler is None or self._recalled is None:
            raise FeaturesError("no features are remembered", hint="try again in a moment")
        return assembler.assemble(self._recalled.recall(most_age_s), table, times_us)

    def ingest(self, source: str, columns: Mapping[str, list[Cell]], batch: str) -> bool:
        """Apply a batch of events to every view over its source, all or nothing.

        Returns
        -------
        bool
            False if a batch of that id had been applied: nothing was changed.

        Raises
        ------
        DataError
            The columns are not whole events.
        """
        now_us = None if self._clock is None else self._clock.now_us()
        return self._store.update(
            lambda transaction: self._ingestion.apply(transaction, source, columns, batch, now_us)
        )


def enter_views(definition: ModelDefinition, store: OnlineStore) -> None:
    """Enter the views of a definition into the store, empty, where they are not yet kept."""
    if not definition.columns:
        raise DataError(f"the definition of {definition.name!r} is not resolved", hint="pass it through resolve()")
    wanted = {}
    for view in definition.views:
        read = read_columns(view)
        schema = tuple(column for column in definition.schemas[view.source.name] if column.name in read)
        key = online.view_key(view.source.name, plan_view(view, schema).digest)
        wanted[key] = ViewEntry(view=view, schema=schema, as_of_us=0, since=0)
    with store.read() as snapshot:
        missing = {key: entry for key, entry in wanted.items() if snapshot.get(key) is None}
    if not missing:
        return

    def enter(transaction: OnlineTransaction) -> None:
        since = online.read_number(transaction.get(online.COUNTER))
        for key, entry in missing.items():
            if transaction.get(key) is None:
                transaction.put(key, msgspec.json.encode(msgspec.structs.replace(entry, since=since)))

    store.update(enter)


@dataclasses.dataclass(frozen=True, slots=True)
class _Lookup:
    """One view of a definition, ready to be read."""

    name: str
    plan: ViewPlan
    reader: Reader

    def read(
        self, snapshot: Snapshot, entities: Sequence[str], times_us: Sequence[int]
    ) -> tuple[list[Reading], list[bool]]:
        """Readings of all rows, and whether each had a state that reaches back to its moment."""
        if len(entities) == 1:
            blob = snapshot.get(online.state_key(self.plan.digest, entities[0]))
            if blob is None:
                return [self.reader.empty], [False]
            reading = self.reader.read(blob, times_us)
            return reading, [reading[0].complete]
        rows: dict[str, list[int]] = {}
        for row, entity in enumerate(entities):
            rows.setdefault(entity, []).append(row)
        readings = [self.reader.empty] * len(entities)
        known = [False] * len(entities)
        for entity, members in rows.items():
            blob = snapshot.get(online.state_key(self.plan.digest, entity))
            if blob is None:
                continue
            for row, one in zip(members, self.reader.read(blob, [times_us[row] for row in members]), strict=True):
                readings[row] = one
                known[row] = one.complete
        return readings, known


class _Assembler:
    """Puts the inputs of one definition together, in the order of its columns."""

    def __init__(self, definition: ModelDefinition) -> None:
        self._lookups: list[_Lookup] = []
        for view in definition.views:
            plan = plan_view(view, definition.schemas[view.source.name])
            chosen = [plan.outputs[column.name] for column in definition.columns if column.view == view.name]
            self._lookups.append(_Lookup(view.name, plan, Reader(plan, chosen)))
        self._requested: dict[str, list[Compiled]] = {"number": [], "category": []}
        for column in definition.columns:
            if not column.view:
                self._requested[column.kind].append(compiled(definition.request_features[column.name]))
        readers = [lookup.reader.empty for lookup in self._lookups]
        self._widths = sum(len(one.numbers) for one in readers), sum(len(one.categories) for one in readers)

    def assemble(self, snapshot: Snapshot, table: Mapping[str, NDArray[Any]], times_us: NDArray[np.int64]) -> Assembled:
        times: list[int] = times_us.tolist()
        n = len(times)
        numbers: list[list[float]] = [[] for _ in times]
        categories: list[list[str]] = [[] for _ in times]
        newest: list[list[int]] = [[] for _ in times]
        unknown: list[tuple[str, ...]] = [()] * n
        for lookup in self._lookups:
            entities: list[str] = entity_names(table[lookup.plan.entity]).tolist()
            readings, known = lookup.read(snapshot, entities, times)
            for row, reading in enumerate(readings):
                numbers[row] += reading.numbers
                categories[row] += reading.categories
                newest[row].append(reading.newest_us)
                if not known[row]:
                    unknown[row] = (*unknown[row], lookup.name)
        return Assembled(
            numbers=_beside(
                numbers, self._widths[0], [value(table) for value in self._requested["number"]], np.float64
            ),
            categories=_beside(
                categories, self._widths[1], [value(table) for value in self._requested["category"]], object
            ),
            view_times_us=np.array(newest, dtype=np.int64).reshape(n, len(self._lookups)),
            unknown=unknown,
        )


def _beside(looked_up: list[list[Any]], width: int, requested: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    matrix = np.empty((len(looked_up), width + len(requested)), dtype=dtype)
    if width and looked_up:
        matrix[:, :width] = looked_up
    for position, values in enumerate(requested, width):
        matrix[:, position] = values
    return matrix
