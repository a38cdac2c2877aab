"""Features at the moment of asking: what the views hold, and what arriving events change in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.clock import Clock
from seakeep.errors import DataError, FeaturesError
from seakeep.features import online
from seakeep.features.ingest import Ingestion
from seakeep.features.lookup import Lookup
from seakeep.features.online import OnlineStore, OnlineTransaction, Snapshot, ViewEntry
from seakeep.features.plan import entity_names, plan_view, read_columns
from seakeep.features.remember import RememberingStore
from seakeep.features.retire import sweep
from seakeep.features.state import Reader
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
    """Enter the views of a definition into the store, empty, where they are not yet kept; none is let go of soon."""
    if not definition.columns:
        raise DataError(f"the definition of {definition.name!r} is not resolved", hint="pass it through resolve()")
    wanted = {}
    for view in definition.views:
        read = read_columns(view)
        schema = tuple(column for column in definition.schemas[view.source.name] if column.name in read)
        key = online.view_key(view.source.name, plan_view(view, schema).digest)
        wanted[key] = ViewEntry(view=view, schema=schema, as_of_us=0, since=0)
    with store.read() as snapshot:
        if all(_is_kept(snapshot.get(key)) for key in wanted):
            return

    def enter(transaction: OnlineTransaction) -> bool:
        if any(transaction.get(online.leaving_key(online.digest_of(key))) is not None for key in wanted):
            return False
        since = online.read_number(transaction.get(online.COUNTER))
        for key, entry in wanted.items():
            value = transaction.get(key)
            if value is None:
                transaction.put(key, msgspec.json.encode(msgspec.structs.replace(entry, since=since)))
            elif not _is_kept(value):
                known = msgspec.json.decode(value, type=ViewEntry)
                transaction.put(key, msgspec.json.encode(msgspec.structs.replace(known, unneeded_us=0)))
        return True

    while not store.update(enter):
        sweep(store)  # what is left of the view that was let go of would count twice


def _is_kept(value: bytes | memoryview | None) -> bool:
    return value is not None and not msgspec.json.decode(value, type=ViewEntry).unneeded_us


class _Assembler:
    """Puts the inputs of one definition together, in the order of its columns."""

    def __init__(self, definition: ModelDefinition) -> None:
        self._lookups: list[Lookup] = []
        width: dict[str, int] = {"number": 0, "category": 0}
        for view in definition.views:
            plan = plan_view(view, definition.schemas[view.source.name])
            chosen = [plan.outputs[column.name] for column in definition.columns if column.view == view.name]
            self._lookups.append(Lookup(view.name, plan, Reader(plan, chosen)))
        self._requested: dict[str, list[Compiled]] = {"number": [], "category": []}
        for column in definition.columns:
            if column.view:
                width[column.kind] += 1
            else:
                self._requested[column.kind].append(compiled(definition.request_features[column.name]))
        self._numbers, self._categories = width["number"], width["category"]

    def assemble(self, snapshot: Snapshot, table: Mapping[str, NDArray[Any]], times_us: NDArray[np.int64]) -> Assembled:
        times: list[int] = times_us.tolist()
        n = len(times)
        unknown: list[tuple[str, ...]] = [()] * n
        views = []
        for lookup in self._lookups:
            found = lookup.read(snapshot, entity_names(table[lookup.entity]).tolist(), times)
            views.append(found)
            for row, one in enumerate(found):
                if not one.known:
                    unknown[row] = (*unknown[row], lookup.name)
        rows = list(zip(*views, strict=True))
        requested = self._requested
        numbers = np.empty((n, self._numbers + len(requested["number"])))
        if self._numbers:
            joined = b"".join([one.numbers for row in rows for one in row])
            numbers[:, : self._numbers] = np.frombuffer(joined).reshape(n, self._numbers)
        categories = np.empty((n, self._categories + len(requested["category"])), dtype=object)
        if self._categories and n:
            categories[:, : self._categories] = [[name for one in row for name in one.categories] for row in rows]
        for position, value in enumerate(requested["number"], self._numbers):
            numbers[:, position] = value(table)
        for position, value in enumerate(requested["category"], self._categories):
            categories[:, position] = value(table)
        newest = np.frombuffer(b"".join([one.newest for row in rows for one in row]), dtype=np.int64)
        return Assembled(
            numbers=numbers,
            categories=categories,
            view_times_us=newest.reshape(n, len(views)),
            unknown=unknown,
        )
