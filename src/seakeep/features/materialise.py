"""Filling the online views: from history, and from the recorded events that they have missed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from seakeep.errors import DataError
from seakeep.features import online
from seakeep.features.ingest import Ingestion, by_entity
from seakeep.features.online import OnlineStore, OnlineTransaction, ViewEntry
from seakeep.features.plan import evaluate_events, plan_view
from seakeep.features.service import enter_views
from seakeep.features.state import merge, pack, unpack
from seakeep.records.feature import FeatureView
from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import EventBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Materialised:
    """One view that was filled: how many events of how many entities."""

    view: str
    entities: int
    events: int


def missing_views(definition: ModelDefinition, store: OnlineStore) -> tuple[str, ...]:
    """Names of the definition's views that were not filled from history yet."""
    with store.read() as snapshot:
        entries = {view.name: snapshot.get(_key(view, definition)) for view in definition.views}
        return tuple(name for name, value in entries.items() if value is None or not _entry(value).as_of_us)


def materialise(
    definitions: Sequence[ModelDefinition],
    tables: Mapping[str, Mapping[str, NDArray[Any]]],
    store: OnlineStore,
    *,
    as_of_us: int,
    newest_us: int | None = None,
) -> list[Materialised]:
    """Fill the views that were not filled yet from the events known before ``as_of_us``; repeat at no cost.

    From then on a view takes arriving events that become known at ``as_of_us`` or later, so that none counts twice
    and none is lost at the seam. Events that arrived before the view was filled keep their place.

    Parameters
    ----------
    definitions
        Resolved.
    tables
        Normal-form tables by source name; only sources of missing views are read.
    newest_us
        What the windows need from this moment on is kept; None: from the newest event of each entity on.

    Raises
    ------
    DataError
        A table of a missing view is not given.
    """
    done: list[Materialised] = []
    for definition in definitions:
        enter_views(definition, store)
        missing = missing_views(definition, store)
        views = [view for view in definition.views if view.name in missing]
        done += [_fill(view, definition, tables, store, (as_of_us, newest_us)) for view in views]
    return done


def catch_up(store: OnlineStore, batches: Iterable[EventBatch]) -> int:
    """Apply recorded batches wherever they are missing: never applied, or applied before a view was entered.

    Returns
    -------
    int
        How many batches were missing somewhere.
    """
    ingestion = Ingestion()
    applied = 0
    for batch in batches:

        def change(transaction: OnlineTransaction, batch: EventBatch = batch) -> bool:
            return ingestion.catch_up(transaction, batch.source, batch.columns, batch.batch)

        applied += store.update(change)
    return applied


def _key(view: FeatureView, definition: ModelDefinition) -> bytes:
    return online.view_key(view.source.name, plan_view(view, definition.schemas[view.source.name]).digest)


def _fill(
    view: FeatureView,
    definition: ModelDefinition,
    tables: Mapping[str, Mapping[str, NDArray[Any]]],
    store: OnlineStore,
    moments_us: tuple[int, int | None],
) -> Materialised:
    as_of_us, newest_us = moments_us
    if view.source.name not in tables:
        raise DataError(f"view {view.name!r} needs the history of source {view.source.name!r}", hint="load it")
    plan = plan_view(view, definition.schemas[view.source.name])
    entities, events = evaluate_events(plan, tables[view.source.name])
    before = events.known_us < as_of_us
    entities, events = entities[before], events.select(before)
    histories = {online.state_key(plan.digest, name): chosen for name, chosen in by_entity(entities, events)}
    states = {key: merge(plan, None, chosen, newest_us=newest_us) for key, chosen in histories.items()}

    def fill(transaction: OnlineTransaction) -> None:
        key = _key(view, definition)
        value = transaction.get(key)
        entry = None if value is None else _entry(value)
        if entry is None or entry.as_of_us:
            return  # another process was faster
        arrived = list(transaction.scan(online.states_prefix(plan.digest)))
        for name, state in states.items():
            transaction.put(name, state)
        for name, blob in arrived:
            kept, floor = unpack(plan, blob)
            live = pack(kept.select(kept.known_us >= as_of_us), floor)
            history = histories.get(name, kept.select(slice(0, 0)))
            transaction.put(name, merge(plan, live, history))
        transaction.put(key, msgspec.json.encode(msgspec.structs.replace(entry, as_of_us=as_of_us)))

    store.update(fill)
    return Materialised(view=view.name, entities=len(states), events=len(entities))


def _entry(value: bytes | memoryview) -> ViewEntry:
    return msgspec.json.decode(value, type=ViewEntry)
