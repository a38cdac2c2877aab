"""Finds workers that hang: whose event loop does not move, because a model, or anything else on it, does not return."""

from __future__ import annotations

from collections.abc import Mapping

_LONGEST_LOOK_S = 1.0


class Watchdog:
    """Counts how long each process has given no sign of life.

    A sign of life is a beat that differs from the last one; what it says does not matter, so that a clock that jumps
    makes nobody look dead. Only time in which the watchdog itself was looking counts, so that a machine that slept, or
    a supervisor that was stopped, does not condemn workers that slept as well.

    Parameters
    ----------
    patience_s
        After how many seconds without a sign of life a process hangs.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._seen: dict[int, tuple[int, float]] = {}
        self._looked_s: float | None = None

    def look(self, beats: Mapping[int, int], now_s: float) -> set[int]:
        """The processes that hang at present.

        Parameters
        ----------
        beats
            The last beat of each living process, by its id.
        now_s
            Monotonic time in seconds.
        """
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, _LONGEST_LOOK_S)
        self._looked_s = now_s
        before = self._seen
        self._seen = {
            pid: (beat, before[pid][1] + passed_s if pid in before and before[pid][0] == beat else 0.0)
            for pid, beat in beats.items()
        }
        return {pid for pid, (_, silent_s) in self._seen.items() if silent_s > self._patience_s}
