"""Calls that wait for their turn, by class, and who is turned away when they would wait too long.

The measure is time, not length: how long a call would wait is the rows before it, of its class and of higher ones, times
what a row has taken lately, everything included. A call is turned away if that is longer than its class may wait and the
queue is a standing one: the oldest call has waited for a good part of that time already. A burst that has only just
arrived is worked off, however many there are. Each class looks only at what goes before it, and lower classes may wait less,
so that whatever is turned away, everything below it is too.

A turn takes as many rows as :data:`TICK_S` allows, by how long the last turns took: between two turns the sockets are looked
at, so that those who are turned away learn it at once. A model that would need longer turns works apart, in a thread.

References
----------
Nichols and Jacobson (2012), *Controlling queue delay*, ACM Queue 10 (5): a standing queue by the time spent in it. Beyer et
al. (2016), *Site Reliability Engineering*, chapters 21 and 22.
"""

from __future__ import annotations

import math
from collections import deque

from seakeep.config import PRIORITIES
from seakeep.errors import SeakeepError, UnavailableError
from seakeep.serving.batching import ALONE, Gathering, Plan
from seakeep.serving.inference import Call

TICK_ROWS = 4096
"""Rows executed at once, at most."""
TICK_S = 0.004
"""How long a turn of the event loop may take, in seconds."""
HEAVY_ROW_S = 1e-4
"""A model that takes longer than this for a row, among others, holds the event loop: it gets a thread."""
MAX_WAITING = 16 * TICK_ROWS
"""Rows that may wait in a worker, whatever time they would take."""
SHARES = (1.0, 1.0, 0.5)
"""Part of the longest wait that each class may be let in with."""
STANDING = 0.25
"""Part of the longest wait after which a queue is a standing one."""
TELLING_ROWS = 8
"""So many rows at once tell what a row costs among others."""
MOST_RETRY_S = 30
"""Longest time that somebody is asked to stay away, in seconds."""

_FIRST_ROWS = 64
_MEMORY_ROWS = 50
_HINT = "wait as Retry-After says and send it again, or add workers"


class Queue:
    """The waiting calls of one model in one worker.

    Parameters
    ----------
    wait_s
        Longest time a call may be expected to wait, in seconds.

    Attributes
    ----------
    rows
        How many wait.
    row_s
        Seconds a row has taken lately, with all that goes with it.
    soonest_s
        The earliest deadline of the calls that wait, or of some that were taken since; ``math.inf``: there is none.
    alarm_s
        When a turn is due for a deadline; ``math.inf``: none is.
    stuck
        Whether a lookup of it was given up and has not come back: what is taken is answered without features.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s, self._calm_s = wait_s, wait_s * STANDING
        self._lanes: tuple[deque[Call], ...] = tuple(deque() for _ in PRIORITIES)
        self._rows = [0] * len(PRIORITIES)
        self.rows = 0
        self._limit_rows = _FIRST_ROWS
        self.soonest_s = self.alarm_s = math.inf
        self._turned_away_s = self._turned_away_at_s = 0.0
        self._backlog_since_s: float | None = None
        self._cost_s = 0.0
        self._heavy = False
        self._gathering = Gathering()
        self.row_s = 0.0
        self.stuck = False
        self._busy_since_s: float | None = None
        self._busy_until_s = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    @property
    def busy(self) -> bool:
        """Whether a batch of it is being executed apart: nothing else is taken meanwhile."""
        return self._busy_since_s is not None

    def began(self, rows: int, now_s: float) -> None:
        """A batch is executed apart from now on."""
        self._busy_since_s = now_s
        self._busy_until_s = now_s + self._wait_s + 2 * rows * self.row_s

    def ended(self) -> None:
        """No batch is executed apart any more."""
        self._busy_since_s = None

    def has_room(self, rows: int) -> bool:
        """Whether so many more rows fit, whatever time they take."""
        return self.rows + rows <= MAX_WAITING

    def calm(self) -> bool:
        """Whether all that waits is worked off in a fraction of the longest wait: nobody is turned away then."""
        return self._busy_since_s is None and self.rows * self.row_s <= self._calm_s

    def waits_s(self, rank: int) -> float:
        """How long a call of a rank would wait, in seconds."""
        return sum(self._rows[: rank + 1]) * self.row_s

    def check(self, rank: int, now_s: float, deadline_s: float | None = None, rows: int = 1) -> None:
        """Turn a call away that would wait too long.

        Raises
        ------
        UnavailableError
            It would wait longer than its class may, or than anybody waits for it.
        """
        if deadline_s is None and self.calm():
            return
        if now_s - self._oldest_s(rank, now_s) < self._calm_s:
            return
        wait_s = self.waits_s(rank)
        if self._busy_since_s is not None and now_s > self._busy_until_s:
            wait_s += (
                now_s - self._busy_since_s
            )  # it is late by far: who knows when it ends; as long again is a fair guess
        if wait_s > self._wait_s * SHARES[rank]:
            message = "more is asked than can be answered in time"
        elif deadline_s is not None and now_s + wait_s > deadline_s:
            message = "the request would not be answered in its time"
        else:
            return
        raise UnavailableError(message, retry_after_s=self.turned_away(rows, now_s), hint=_HINT)

    def add(self, call: Call) -> None:
        """Let a call wait."""
        rank, size = call.rank, call.size
        self._lanes[rank].append(call)
        self._rows[rank] += size
        self.rows += size
        if call.deadline_s is not None:
            self.soonest_s = min(self.soonest_s, call.deadline_s)

    def below(self, rank: int) -> tuple[int, int]:
        """How many calls, and rows, of lower classes than ``rank`` wait: what :meth:`displace` may take out."""
        return sum(map(len, self._lanes[rank + 1 :])), sum(self._rows[rank + 1 :])

    def displace(self, rank: int) -> Call | None:
        """Take out the newest call of the lowest class, if that is lower than ``rank``: it makes room."""
        for lower in range(len(self._lanes) - 1, rank, -1):
            if self._lanes[lower]:
                call = self._lanes[lower].pop()
                self._left(lower, call)
                return call
        return None

    def gathers(self, plan: Plan, now_s: float) -> bool:
        """Whether what waits should wait for more, to be executed together; not if somebody has little time."""
        hurried = self.soonest_s - now_s <= 2 * plan.patience_s
        return self._gathering.waits(ALONE if hurried else plan, self.rows, now_s)

    def take(self) -> list[Call]:
        """The calls whose turn it is."""
        taken: list[Call] = []
        rows = 0
        for rank, lane in enumerate(self._lanes):
            before = rows
            while lane and rows < self._limit_rows:
                call = lane.popleft()
                rows += call.size
                taken.append(call)
            self._rows[rank] -= rows - before
        self.rows -= rows
        return taken

    def overdue(self, now_s: float) -> list[Call]:
        """Take out the calls that nobody waits for any more."""
        found: list[Call] = []
        if now_s < self.soonest_s:
            return found
        self.soonest_s = math.inf
        for rank, lane in enumerate(self._lanes):
            waiting = list(lane)
            lane.clear()
            for call in waiting:
                if call.deadline_s is not None and call.deadline_s <= now_s:
                    self._left(rank, call)
                    found.append(call)
                else:
                    lane.append(call)
                    self.soonest_s = min(self.soonest_s, call.deadline_s or math.inf)
        if not self.rows:
            self._backlog_since_s = None
        return found

    def apart(self, rows: int) -> bool:
        """Whether so many rows should be executed apart from the event loop, which they would hold."""
        return self._heavy or rows * self._cost_s > 2 * TICK_S

    def worked(self, rows: int, cpu_s: float, began_s: float, ended_s: float) -> None:
        """Learn from a turn in which ``rows`` were worked off.

        Parameters
        ----------
        cpu_s
            Processor seconds of the thread that did it, whatever else the machine did meanwhile.
        """
        if rows:
            # While calls wait, a turn begins with the end of the one before it: reading and refusing others is part of it.
            since_s = began_s if self._backlog_since_s is None else self._backlog_since_s
            self.row_s += ((ended_s - since_s) / rows - self.row_s) * rows / (rows + _MEMORY_ROWS)
        telling = rows >= min(TELLING_ROWS, self._limit_rows)
        if telling:
            self._cost_s += (cpu_s / rows - self._cost_s) * rows / (rows + _MEMORY_ROWS)
            self._heavy = self._cost_s > HEAVY_ROW_S / (2 if self._heavy else 1)
        if telling or cpu_s > TICK_S:
            self._fit(rows, cpu_s)
        self._backlog_since_s = ended_s if self.rows else None

    def _fit(self, rows: int, cpu_s: float) -> None:
        """Let the next turn take as long as it may."""
        turn_s = max(TICK_S, self._wait_s / 4) if self._heavy else TICK_S
        fitting = int(rows * turn_s / cpu_s) if cpu_s > 0 else TICK_ROWS
        if fitting < self._limit_rows:
            self._limit_rows = max(1, (self._limit_rows + fitting) // 2)
        elif rows >= self._limit_rows:
            self._limit_rows = min(TICK_ROWS, 2 * self._limit_rows, fitting)

    def full(self, rows: int, now_s: float) -> SeakeepError:
        """What to tell somebody for whom there is no room at all."""
        retry_s = self.turned_away(rows, now_s)
        return UnavailableError("too many requests are in flight", retry_after_s=retry_s, hint=_HINT)

    def turned_away(self, rows: int, now_s: float) -> int:
        """Count work that was turned away; whole seconds after which it would be worked off if all of it came back."""
        self._turned_away_s = max(0.0, self._turned_away_s - (now_s - self._turned_away_at_s)) + rows * self.row_s
        self._turned_away_at_s = now_s
        return min(MOST_RETRY_S, max(1, math.ceil(self.rows * self.row_s + self._turned_away_s)))

    def _oldest_s(self, rank: int, now_s: float) -> float:
        """When the oldest call that goes before one of a rank began to wait."""
        return min((lane[0].parsed_s for lane in self._lanes[: rank + 1] if lane), default=now_s)

    def _left(self, rank: int, call: Call) -> None:
        self._rows[rank] -= call.size
        self.rows -= call.size
