"""Applying a batch of events to every view that is kept over its source, once and in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.features import online
from seakeep.features.online import OnlineTransaction, ViewEntry
from seakeep.features.plan import EventValues, ViewPlan, evaluate_events, plan_view
from seakeep.features.rows import cells_to_table
from seakeep.features.state import merge
from seakeep.records.prediction import Cell

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ingestion:
    """Applies batches; remembers the compiled form of views between them."""

    def __init__(self) -> None:
        self._plans: dict[bytes, ViewPlan] = {}

    def apply(
        self,
        transaction: OnlineTransaction,
        source: str,
        columns: Mapping[str, list[Cell]],
        batch: str,
        now_us: int | None = None,
    ) -> bool:
        """Apply a batch to all views over its source, unless it was applied before.

        Returns
        -------
        bool
            False if the batch had been applied.
        """
        mark = online.batch_key(source, batch)
        if transaction.get(mark) is not None:
            return False
        count = online.read_number(transaction.get(online.COUNTER)) + 1
        for entry in self.entries(transaction, source):
            self._apply(transaction, entry, columns, now_us)
        transaction.put(mark, online.number(count))
        transaction.put(online.COUNTER, online.number(count))
        return True

    def catch_up(
        self, transaction: OnlineTransaction, source: str, columns: Mapping[str, list[Cell]], batch: str
    ) -> bool:
        """Apply a recorded batch where it is missing: to all views, or to those entered after it was applied.

        Returns
        -------
        bool
            Whether anything was missing.
        """
        if self.apply(transaction, source, columns, batch):
            return True
        mark = online.batch_key(source, batch)
        number = online.read_number(transaction.get(mark))
        missed = False
        for entry in self.entries(transaction, source):
            own = online.caught_up_key(self.plan(entry).digest, mark)
            if entry.since >= number and transaction.get(own) is None:
                self._apply(transaction, entry, columns, None)
                transaction.put(own, b"")
                missed = True
        return missed

    def entries(self, transaction: OnlineTransaction, source: str) -> Iterator[ViewEntry]:
        """All views kept over a source."""
        found = [
            msgspec.json.decode(value, type=ViewEntry) for _, value in transaction.scan(online.views_prefix(source))
        ]
        return iter(found)

    def plan(self, entry: ViewEntry) -> ViewPlan:
        """The compiled form of a kept view."""
        text = msgspec.json.encode(entry.view)
        if text not in self._plans:
            self._plans[text] = plan_view(entry.view, entry.schema)
        return self._plans[text]

    def _apply(
        self, transaction: OnlineTransaction, entry: ViewEntry, columns: Mapping[str, list[Cell]], now_us: int | None
    ) -> None:
        plan = self.plan(entry)
        entities, events = evaluate_events(plan, cells_to_table(columns, entry.schema, entry.view.source))
        # What was known before the view was filled came with the history: counting it again would double it.
        live = events.known_us >= entry.as_of_us
        if not live.all():
            entities, events = entities[live], events.select(live)
        newest = None if now_us is None else now_us + plan.source.delay_us
        for entity, chosen in by_entity(entities, events):
            key = online.state_key(plan.digest, entity)
            transaction.put(key, merge(plan, transaction.get(key), chosen, newest_us=newest))


def by_entity(entities: NDArray[np.object_], events: EventValues) -> Iterator[tuple[str, EventValues]]:
    """Events apart by entity."""
    index: dict[str, int] = {}
    codes = np.array([index.setdefault(name, len(index)) for name in entities.tolist()], dtype=np.int64)
    if len(index) <= 1:
        yield from ((name, events) for name in index)
        return
    order: NDArray[Any] = np.argsort(codes, kind="stable")
    ordered = events.select(order)
    edges = np.searchsorted(codes[order], np.arange(len(index) + 1)).tolist()
    for name, position in index.items():
        yield name, ordered.select(slice(edges[position], edges[position + 1]))
