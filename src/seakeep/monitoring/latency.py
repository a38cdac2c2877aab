"""Service quality of a version over a period, and its change against past periods."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from seakeep.clock import MICROSECONDS
from seakeep.monitoring.significance import surprise
from seakeep.records.finding import Finding
from seakeep.serving.errors import CLIENT_CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from seakeep.recorder.table import PredictionTable

MAX_P = 0.01
MATERIAL = 1.25
MATERIAL_ERRORS = 0.001
"""Share of requests failing below which errors are not worth a word."""
MIN_PERIODS = 5
LATENCY_FLOOR = 0.05
"""Least standard deviation of the log of a latency: what a machine varies by from day to day."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Requests of a period.

    Attributes
    ----------
    errors
        Those that failed here: the client got 5xx.
    refused
        Those that were the client's mistake: it got 4xx.
    throughput_per_s
        Requests a second of wall clock between the first and the last; NaN with fewer than two.
    p50_ms, p95_ms, p99_ms
        Time end to end of the requests without an error; NaN without any.
    """

    requests: int
    errors: int
    throughput_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    refused: int = 0


def failures(rows: PredictionTable) -> NDArray[np.bool_]:
    """Which rows failed here; a client's mistake is no failure of the model or the service."""
    failed: NDArray[np.bool_] = (rows.error != "") & ~_refused(rows)
    return failed


def _refused(rows: PredictionTable) -> NDArray[np.bool_]:
    return np.asarray(np.isin(rows.error.astype(str), CLIENT_CODES), dtype=np.bool_)


def service(rows: PredictionTable) -> Service:
    """Summarise requests; shadows are left out, because nobody waited for them."""
    asked = rows.role != "shadow"
    good = asked & (rows.error == "")
    requests = int(asked.sum())
    wall = rows.recorded_us[asked]
    span_s = (int(wall.max()) - int(wall.min())) / MICROSECONDS if requests else 0.0
    took = rows.total_us[good]
    p50, p95, p99 = np.quantile(took, (0.5, 0.95, 0.99)) / 1_000 if len(took) else (math.nan,) * 3
    return Service(
        requests=requests,
        errors=int((asked & failures(rows)).sum()),
        refused=int((asked & _refused(rows)).sum()),
        throughput_per_s=requests / span_s if span_s else math.nan,
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
    )


def service_by_version(rows: PredictionTable) -> dict[int, Service]:
    """:func:`service` of each version that answered, by its number."""
    return {int(version): service(rows.select(rows.version == version)) for version in np.unique(rows.version)}


def service_changes(past: Sequence[Service], now: Service) -> tuple[Finding, ...]:
    """What differs now from past periods of the same length: errors, latency, requests.

    Errors are compared with the past share and its sampling error from the first past period on; latency and requests
    need five periods to know their own noise.
    """
    busy = [one for one in past if one.requests]
    found = [_errors(busy, now)]
    if len(busy) >= MIN_PERIODS and now.requests:
        found += [
            _latency("p99", np.array([one.p99_ms for one in busy]), now.p99_ms),
            _latency("p50", np.array([one.p50_ms for one in busy]), now.p50_ms),
        ]
    if len(busy) >= MIN_PERIODS:
        found.append(_requests(busy, now))
    return tuple(finding for finding in found if finding)


def _errors(past: Sequence[Service], now: Service) -> Finding | None:
    requests, errors = sum(one.requests for one in past), sum(one.errors for one in past)
    if not requests or not now.requests:
        return None
    usual, share = (errors + 0.5) / (requests + 1), now.errors / now.requests
    between = float(np.var([one.errors / one.requests for one in past]))
    effect = (share - usual) / math.sqrt(between + usual * (1 - usual) * (1 / now.requests + 1 / requests))
    p_value = 0.5 * math.erfc(effect / math.sqrt(2))
    if p_value > MAX_P / 3 or share - usual < MATERIAL_ERRORS:
        return None
    sentence = f"{share:.2%} of {now.requests:,} requests failed, usually {errors / requests:.2%}"
    return Finding(
        kind="errors",
        subject="error rate",
        effect=effect,
        p_value=p_value,
        before=errors / requests,
        now=share,
        sentence=sentence,
    )


def _latency(subject: str, past_ms: NDArray[np.float64], now_ms: float) -> Finding | None:
    past_ms = past_ms[np.isfinite(past_ms) & (past_ms > 0)]
    if len(past_ms) < MIN_PERIODS or not now_ms > 0:
        return None
    effect, p_value = surprise(np.log(past_ms), math.log(now_ms), floor=LATENCY_FLOOR)
    usual = float(np.exp(np.log(past_ms).mean()))
    if p_value > MAX_P / 3 or now_ms < MATERIAL * usual:
        return None
    return Finding(
        kind="latency",
        subject=subject,
        effect=effect,
        p_value=p_value,
        before=usual,
        now=now_ms,
        sentence=f"latency {subject} is {now_ms:.2f} ms, usually {usual:.2f} ms",
    )


def _requests(past: Sequence[Service], now: Service) -> Finding | None:
    counts = np.array([one.requests for one in past], dtype=np.float64)
    usual = float(np.exp(np.log(counts).mean()))
    floor = max(LATENCY_FLOOR, 1 / math.sqrt(usual))
    effect, p_value = surprise(np.log(counts), math.log(now.requests + 0.5), floor=floor)
    ratio = (now.requests + 0.5) / usual
    if p_value > MAX_P / 3 or max(ratio, 1 / ratio) < MATERIAL:
        return None
    return Finding(
        kind="throughput",
        subject="requests",
        effect=effect,
        p_value=p_value,
        before=usual,
        now=float(now.requests),
        sentence=f"{now.requests:,} requests, usually {usual:,.0f}",
    )
