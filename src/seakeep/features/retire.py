"""Letting go of views that no version needs any more, so that arriving events cost nothing for them.

A view is not let go of as soon as nobody needs it: whoever is about to serve a version has its views filled before any
release names it. It is marked first, and goes if the mark is still there after a grace; entering a view takes the mark
away (:func:`seakeep.features.service.enter_views`). Its states go in steps, between which others write.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import msgspec

from seakeep.clock import MICROSECONDS
from seakeep.features import online
from seakeep.features.online import OnlineStore, OnlineTransaction, ViewEntry
from seakeep.features.plan import plan_view, read_columns, view_digest
from seakeep.records.feature import FeatureView
from seakeep.records.model import ModelDefinition

UNNEEDED_US = 3600 * MICROSECONDS
"""How long nobody needs a view before it is let go of.

The wall clock measures it, so whoever calls :func:`retire_views` has seen it run steadily for as long: a jump would cut it short.
"""
STEP = 1_000
"""How many keys are taken out at once: events that arrive wait for no more."""


def retire_views(
    keep: Iterable[ModelDefinition], store: OnlineStore, *, declared: Sequence[FeatureView] = (), now_us: int
) -> int:
    """Mark every view that nobody needs, and begin to let go of those marked for long; :func:`sweep` does the rest.

    Parameters
    ----------
    keep
        Definitions of the versions whose views are needed, resolved.
    declared
        Further views that are needed, whatever the kinds of their columns.

    Returns
    -------
    int
        How many views are let go of from now on.
    """
    wanted = {
        online.view_key(view.source.name, plan_view(view, definition.schemas[view.source.name]).digest)
        for definition in keep
        for view in definition.views
    }

    def change(transaction: OnlineTransaction) -> int:
        gone = 0
        for key, value in list(transaction.scan(online.ALL_VIEWS)):
            entry = msgspec.json.decode(value, type=ViewEntry)
            needed = key in wanted or any(_is(view, key, entry) for view in declared)
            if needed or not 0 < entry.unneeded_us <= now_us:
                since_us = 0 if needed else now_us
                if since_us != entry.unneeded_us:
                    transaction.put(key, msgspec.json.encode(msgspec.structs.replace(entry, unneeded_us=since_us)))
            elif now_us - entry.unneeded_us >= UNNEEDED_US:
                transaction.delete(key)
                transaction.put(online.leaving_key(online.digest_of(key)), b"")
                gone += 1
        return gone

    return store.update(change)


def sweep(store: OnlineStore) -> bool:
    """Take out a step's worth of a view that is let go of.

    Returns
    -------
    bool
        Whether there was one: there may be more to take out.
    """

    def change(transaction: OnlineTransaction) -> bool:
        key = next((key for key, _ in transaction.scan(online.LEAVING)), None)
        if key is None:
            return False
        digest = online.digest_of(key)
        left = itertools.chain(
            transaction.scan(online.states_prefix(digest)), transaction.scan(online.caught_up_prefix(digest))
        )
        found = [state for state, _ in itertools.islice(left, STEP)]
        for state in found:
            transaction.delete(state)
        if len(found) < STEP:
            transaction.delete(key)
        return True

    return store.update(change)


def _is(view: FeatureView, key: bytes, entry: ViewEntry) -> bool:
    kinds = {column.name: column.kind for column in entry.schema}
    if view.source.name != entry.view.source.name or not kinds.keys() >= set(read_columns(view)):
        return False
    return view_digest(view, kinds) == online.digest_of(key)
