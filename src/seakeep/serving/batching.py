"""How many rows a model is given at once, and how long requests wait for others: measured per model, never configured.

When a version is loaded, its model is timed on a few sizes of batch (:func:`measure`). From that follows a plan
(:func:`plan`): the size from which on more rows bring nothing, and how much time a row saves that joins others in place of
coming alone. Where that is less than a look at the sockets costs, as for trees, nobody ever waits. Where it is more, as for
a network whose weights are read once for a whole batch, requests may wait for others, but no longer than what is saved;
and whether they do is learnt from what waiting has brought (:class:`Gathering`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

SIZES = tuple(1 << step for step in range(13))
"""Sizes that are timed."""
BUDGET_S = 0.15
"""Longest time a measurement may take, in seconds."""
REPEATS = 5
"""Runs of each size, of which the fastest counts: a busy machine only ever makes a run slower."""
ENOUGH, WORSE = 0.95, 0.9
"""Shares of the greatest throughput: as good as the best from the one on, clearly worse below the other."""
LOOK_S = 50e-6
"""What one must save to be worth waiting for: a few looks at the sockets."""

_PATIENT = 0.25
_LEARNT = 1 / 16
_TRY_EVERY = 64


class Cost(msgspec.Struct, frozen=True):
    """What a model costs by the size of its batch.

    Attributes
    ----------
    rows, seconds
        Sizes in rising order, from 1, and the time of one execution of each.
    """

    rows: tuple[int, ...]
    seconds: tuple[float, ...]


class Plan(msgspec.Struct, frozen=True):
    """How a model is to be executed.

    Attributes
    ----------
    most
        Rows given to it at once; more are given in several parts.
    enough
        Rows from which on more would bring nothing.
    patience_s
        How long requests may wait for others; 0: never.
    """

    most: int = SIZES[-1]
    enough: int = 1
    patience_s: float = 0.0


AT_ONCE = Plan()
"""For a model that was not measured."""
ALONE = Plan(most=1)
"""For a model whose answers to a row depend on the rows beside it."""


def measure(run: Callable[[int], object], clock_s: Callable[[], float], *, most: int = SIZES[-1]) -> Cost:
    """Time a model on batches of rising size.

    It ends when the budget is spent, or when doubling the size twice has made it clearly worse.

    Parameters
    ----------
    run
        Executes a batch of so many rows.
    clock_s
        The time, in seconds.
    most
        Largest size of interest.
    """
    until_s = clock_s() + BUDGET_S
    sizes: list[int] = []
    fastest: list[float] = []
    for rows in SIZES:
        if rows > most or (fastest and clock_s() + 2 * fastest[-1] > until_s):
            break
        times = []
        for _ in range(REPEATS):
            began_s = clock_s()
            run(rows)
            times.append(clock_s() - began_s)
            if clock_s() > until_s:
                break
        sizes.append(rows)
        fastest.append(max(min(times), 1e-9))
        rates = [size / seconds for size, seconds in zip(sizes, fastest, strict=True)]
        if len(rates) > 2 and max(rates[-2:]) < WORSE * max(rates[:-2]):
            break
    return Cost(tuple(sizes), tuple(fastest))


def plan(cost: Cost) -> Plan:
    """The plan that follows from what was measured."""
    rates = [rows / seconds for rows, seconds in zip(cost.rows, cost.seconds, strict=True)]
    best = max(rates)
    place = next(place for place, rate in enumerate(rates) if rate >= ENOUGH * best)
    most = next(rows for rows, rate in zip(cost.rows[::-1], rates[::-1], strict=True) if rate >= WORSE * best)
    # What a row saves that comes in a batch and not alone.
    saved_s = cost.seconds[0] - 1 / rates[place]
    return Plan(most, cost.rows[place], saved_s if saved_s >= LOOK_S else 0.0)


class Gathering:
    """Whether requests that were read should wait for more.

    They wait while fewer rows than are enough are there, no longer than the plan's patience, and not after a pause of a
    quarter of it. Waiting that brings nothing is given up, and tried again one time in 64.
    """

    def __init__(self) -> None:
        self._worth = 1.0
        self._skipped = self._rows = self._first = 0
        self._began_s = self._latest_s = 0.0

    def waits(self, plan: Plan, rows: int, now_s: float) -> bool:
        """Whether ``rows`` that are there should wait; to be asked at the end of every turn until it is denied."""
        if plan.patience_s <= 0.0:
            return False
        if not self._rows:
            self._first, self._began_s = rows, now_s
        if rows > self._rows:
            self._rows, self._latest_s = rows, now_s
        begun = now_s > self._began_s
        if rows < plan.enough and (begun or self._tries()):
            pause_s, waited_s = now_s - self._latest_s, now_s - self._began_s
            if waited_s < plan.patience_s and pause_s < _PATIENT * plan.patience_s:
                return True
        if begun:
            self._worth += _LEARNT * ((self._rows > self._first) - self._worth)
        self._rows = 0
        return False

    def _tries(self) -> bool:
        """Whether waiting has brought more rows often enough, or it is time to try again."""
        if self._worth >= 0.5:
            return True
        self._skipped = (self._skipped + 1) % _TRY_EVERY
        return not self._skipped
