"""Takes an entity, and every value that names it, out of the online views."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import msgspec
import numpy as np

from seakeep.features import online
from seakeep.features.online import OnlineStore, OnlineTransaction, ViewEntry
from seakeep.features.plan import plan_view
from seakeep.features.retire import sweep
from seakeep.features.state import pack, unpack


def forget(store: OnlineStore, names: AbstractSet[str]) -> int:
    """Take out the states of entities of some names, and from other states the events with such a text among their values.

    What other entities' sums and numbers owe to events of the subject stays: it does not say whose they were.

    Returns
    -------
    int
        How many states were taken out or changed.
    """
    while sweep(store):
        pass  # of a view that is let go of nothing may stay either
    return store.update(lambda transaction: _forget(transaction, names))


def _forget(transaction: OnlineTransaction, names: AbstractSet[str]) -> int:
    changed = 0
    for key, entry in list(transaction.scan(online.ALL_VIEWS)):
        for state, value in list(_changes(transaction, online.digest_of(key), entry, names)):
            if value:
                transaction.put(state, value)
            else:
                transaction.delete(state)
            changed += 1
    return changed


def _changes(
    transaction: OnlineTransaction, digest: bytes, entry: bytes, names: AbstractSet[str]
) -> Iterator[tuple[bytes, bytes]]:
    """States with their new value; empty for one that is to go."""
    view = msgspec.json.decode(entry, type=ViewEntry)
    plan = plan_view(view.view, view.schema)
    wanted = {online.state_key(digest, name) for name in names}
    for state, value in transaction.scan(online.states_prefix(digest)):
        if state in wanted:
            yield state, b""
        elif plan.strings:
            events, floor = unpack(plan, value)
            named = np.zeros(len(events.known_us), dtype=np.bool_)
            for texts in events.strings:
                named |= np.isin(texts, list(names))
            if named.any():
                yield state, pack(events.select(~named), floor)
