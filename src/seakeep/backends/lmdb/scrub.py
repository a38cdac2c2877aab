"""Makes LMDB forget: what was deleted stays until its room is needed, in free pages, in the free room of pages that are
used, and in the keys by which upper pages lead to lower ones.

So the tree is built anew out of what is in it, which leaves the old one in free pages alone; and these are then used up
by pages of zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

_FILLER = b"\0scrub"
_FILLER_BYTES = 3_500
"""Takes a page of its own."""
_ROUND = 512


def scrub(environment: Any, update: Callable[[Callable[[Any], None]], None]) -> None:
    """Build the tree anew and write over all pages that it no longer uses.

    Parameters
    ----------
    environment
        Opened for this: one that has written uses its own old pages again as they are.
    update
        Runs a change in a write transaction.
    """
    main = environment.open_db()

    def rebuild(transaction: Any) -> None:
        with transaction.cursor() as cursor:
            pairs = [(bytes(key), bytes(value)) for key, value in cursor]
        transaction.drop(main, delete=False)
        for key, value in pairs:
            transaction.put(key, value, append=True)

    update(rebuild)
    rounds = 0
    used_up = 0
    while used_up < 2:  # a reader may have held back the last free pages the first time
        before = environment.info()["last_pgno"]
        update(partial(_fill, start=rounds * _ROUND))
        rounds += 1
        used_up += environment.info()["last_pgno"] - before >= _ROUND
    update(_empty)


def _fill(transaction: Any, *, start: int) -> None:
    for place in range(start, start + _ROUND):
        transaction.put(_FILLER + place.to_bytes(8, "big"), bytes(_FILLER_BYTES))


def _empty(transaction: Any) -> None:
    keys = []
    with transaction.cursor() as cursor:
        more = cursor.set_range(_FILLER)
        while more and bytes(cursor.key()).startswith(_FILLER):
            keys.append(bytes(cursor.key()))
            more = cursor.next()
    for key in keys:
        transaction.delete(key)
