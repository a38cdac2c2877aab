"""Recorded predictions as equal windows of traffic, for charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seakeep.clock import DAY_US, MICROSECONDS
from seakeep.dashboard.values import TrafficWindow
from seakeep.monitoring.latency import failures
from seakeep.records.outputs import PROBABILITY, Outputs

if TYPE_CHECKING:
    from seakeep.recorder.table import PredictionTable

_HOUR_US = 3_600 * MICROSECONDS
_STEPS_US = (
    MICROSECONDS,
    10 * MICROSECONDS,
    60 * MICROSECONDS,
    600 * MICROSECONDS,
    _HOUR_US,
    3 * _HOUR_US,
    6 * _HOUR_US,
    DAY_US,
    7 * DAY_US,
)


def window_step(from_us: int, to_us: int, *, at_most: int = 250) -> int:
    """The shortest customary window, in microseconds, that cuts the range into ``at_most`` pieces or fewer."""
    span_us, week_us = to_us - from_us, _STEPS_US[-1]
    weeks = -(-span_us // (at_most * week_us))
    return next((step for step in _STEPS_US if span_us <= step * at_most), weeks * week_us)


def traffic_windows(
    table: PredictionTable, from_us: int, to_us: int, step_us: int, outputs: Outputs = PROBABILITY
) -> tuple[TrafficWindow, ...]:
    """Traffic in windows ``[from_us + k * step_us, …)``, by ``time_us``; shadows never reached a client and are left out.

    The last window ends at ``to_us``. An alert is a decision "yes" among requests that did not fail; numbers
    raise none.
    """
    answered = table.select((table.role != "shadow") & (table.time_us >= from_us) & (table.time_us < to_us))
    edges = np.arange(from_us, to_us, step_us, dtype=np.int64)
    bounds = np.append(np.searchsorted(answered.time_us, edges), len(answered))
    return tuple(
        _window(answered.select(slice(bounds[k], bounds[k + 1])), int(start), min(int(start) + step_us, to_us), outputs)
        for k, start in enumerate(edges)
    )


def _window(rows: PredictionTable, from_us: int, to_us: int, outputs: Outputs) -> TrafficWindow:
    good = rows.error == ""
    p50, p99 = np.percentile(rows.total_us, (50, 99)) / 1_000 if len(rows) else (None, None)
    return TrafficWindow(
        from_us=from_us,
        to_us=to_us,
        predictions=len(rows),
        errors=int(failures(rows).sum()),
        p50_ms=None if p50 is None else float(p50),
        p99_ms=None if p99 is None else float(p99),
        alert_rate=float(rows.decision[good].mean()) if good.any() and outputs.yes_or_no else None,
    )
