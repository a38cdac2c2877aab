"""The verdict of each calendar month, beside what all the outcomes showed later."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from seakeep.clock import DAY_US, MICROSECONDS
from seakeep.diagnosis.evidence import Periods
from seakeep.diagnosis.hindsight import truth
from seakeep.diagnosis.verdict import judge
from seakeep.monitoring.drift import broken
from seakeep.monitoring.history import NEVER_US
from seakeep.monitoring.quality import realised
from seakeep.records.finding import Cause, Verdict
from seakeep.records.run import Metric

if TYPE_CHECKING:
    from seakeep.monitoring.history import History


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """One month.

    Attributes
    ----------
    alert_rate
        Of all answered predictions.
    realised
        Metrics with every outcome (:func:`seakeep.monitoring.quality.realised`).
    verdict
        As it was possible ``wait_us`` after the month's end.
    truth
        The cause as all the outcomes show it (:func:`seakeep.diagnosis.hindsight.truth`).
    """

    from_us: int
    to_us: int
    predictions: int
    alert_rate: float
    realised: dict[str, Metric]
    verdict: Verdict
    truth: Cause

    @property
    def abstains(self) -> bool:
        """Whether the verdict was that it cannot tell."""
        return self.verdict.cause == "cannot-tell"

    @property
    def contradicted(self) -> bool:
        """Whether the outcomes showed later that the verdict was wrong; to abstain is never wrong."""
        return not self.abstains and self.verdict.cause != self.truth


def monthly(history: History, *, now_us: int, wait_us: int = DAY_US, seed: int = 0) -> tuple[Month, ...]:
    """Every calendar month (UTC) of live predictions that ended at least ``wait_us`` before ``now_us``."""
    live = history.live.answered()
    if not len(live):
        return ()
    times = live.predictions.time_us
    starts = month_starts(int(times[0]), int(times[-1]) + 1)
    months = []
    for before, start, end in zip(starts, starts[1:], starts[2:], strict=False):
        rows = live.between(start, end)
        if end + wait_us > now_us or not len(rows):
            continue
        lost = broken(history.reference.predictions, rows.predictions, history.columns)
        periods = Periods.of(history, from_us=start, to_us=end, previous_from_us=before)
        months.append(
            Month(
                from_us=start,
                to_us=end,
                predictions=len(rows),
                alert_rate=float(rows.predictions.decision.mean()),
                realised=realised(rows, now_us=NEVER_US, seed=seed),
                verdict=judge(
                    history,
                    from_us=start,
                    to_us=end,
                    now_us=end + wait_us,
                    previous_from_us=before,
                    broken_inputs=tuple(loss.sentence for loss in lost),
                    seed=seed,
                ),
                truth=truth(periods.reference, periods.previous, periods.recent),
            )
        )
    return tuple(months)


def month_starts(from_us: int, to_us: int) -> list[int]:
    """First moments of the calendar months (UTC) from the one before ``from_us`` to the one after ``to_us - 1``."""
    moment = datetime.fromtimestamp(from_us / MICROSECONDS, UTC)
    index = moment.year * 12 + moment.month - 2
    starts: list[int] = []
    while not starts or starts[-1] < to_us:
        first = datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)
        starts.append(round(first.timestamp()) * MICROSECONDS)
        index += 1
    return starts
