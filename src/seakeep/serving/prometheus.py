"""What the workers counted, in the Prometheus text format.

References
----------
Prometheus text-based exposition format, version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Callable

from seakeep.serving.metrics import BOUNDS_US, STAGES, Snapshot, VersionMetrics, WorkerStatus

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_COUNTERS = {
    "requests": ("seakeep_requests_total", "Requests answered, also with an error."),
    "rows": ("seakeep_rows_total", "Rows answered with a prediction."),
    "unknown": ("seakeep_unknown_entities_total", "Lookups of entities that a view knows nothing of."),
    "shadow_scored": ("seakeep_shadow_scored_total", "Rows scored in the shadow."),
    "shadow_dropped": ("seakeep_shadow_dropped_total", "Rows not scored in the shadow for want of time."),
    "stale": ("seakeep_stale_rows_total", "Rows answered with features as they were last known."),
    "standby": ("seakeep_standby_rows_total", "Rows answered by the version that stands in."),
    "rule": ("seakeep_rule_rows_total", "Rows answered by the version's rule."),
    "cached": ("seakeep_cached_rows_total", "Rows answered with an earlier answer."),
    "cache_missed": ("seakeep_cache_missed_rows_total", "Rows that were computed because no earlier answer was kept."),
    "gaps": ("seakeep_recorder_gaps_total", "Records that the recorder had no room for."),
    "batches": ("seakeep_batches_total", "Batches executed; requests of one turn of the event loop are one batch."),
}
_NATIVE = (
    ("seakeep_native_processes", "gauge", "Processes of natively served models that can answer.", "native_processes", 1.0),
    ("seakeep_native_memory_bytes", "gauge", "Resident memory of these processes, in all.", "native_bytes", 1.0),
    (
        "seakeep_native_start_seconds", "gauge", "What these processes took to start, the last time, in all.",
        "native_start_ms", 1e-3,
    ),
    ("seakeep_native_restarts_total", "counter", "How often such a process was started again.", "native_restarts", 1.0),
)  # fmt: skip
_Read = Callable[[WorkerStatus], float]
_WORKERS: tuple[tuple[str, str, str, _Read], ...] = (
    ("seakeep_in_flight", "gauge", "Requests taken and not yet answered.", lambda one: one.in_flight),
    (
        "seakeep_loop_seconds_total", "counter",
        "Processor time of the event loop; its rate is the worker's utilisation, full at 1.",
        lambda one: one.used.loop_us / 1e6,
    ),
    (
        "seakeep_cpu_seconds_total", "counter", "Processor time of all threads of the worker.",
        lambda one: one.used.cpu_us / 1e6,
    ),
    (
        "seakeep_memory_bytes", "gauge", "Resident memory of the worker.", lambda one: 0 if one.state == "stopped" else one.used.memory_bytes,
    ),
)  # fmt: skip
_SHOWN = range(0, len(BOUNDS_US), 4)
"""Buckets shown: doublings from 1 us on; each holds the finer ones below."""


def render(snapshot: Snapshot) -> bytes:
    """The metrics page."""
    lines: list[str] = []
    _head(lines, "seakeep_workers", "gauge", "Workers by state.")
    for state in sorted({worker.state for worker in snapshot.workers}):
        count = sum(worker.state == state for worker in snapshot.workers)
        lines.append(f'seakeep_workers{{state="{state}"}} {count}')
    for name, kind, text, value in _WORKERS:
        _head(lines, name, kind, text)
        lines += [f'{name}{{worker="{worker.index}"}} {value(worker):.15g}' for worker in snapshot.workers]
    _lags(lines, snapshot)
    for key, (name, text) in _COUNTERS.items():
        _head(lines, name, "counter", text)
        lines += [f"{name}{{{_labels(one)}}} {one.counters[key]}" for one in snapshot.versions]
    natives = [one for one in snapshot.versions if one.counters["native_processes"] or one.counters["native_restarts"]]
    for name, kind, text, key, scale in _NATIVE:
        _head(lines, name, kind, text)
        lines += [f"{name}{{{_labels(one)}}} {one.counters[key] * scale:.15g}" for one in natives]
    _head(lines, "seakeep_errors_total", "counter", "Requests answered with an error, by its code.")
    for one in snapshot.versions:
        lines += [f'seakeep_errors_total{{{_labels(one)},code="{code}"}} {count}' for code, count in one.errors.items()]
    name = "seakeep_stage_work_seconds_total"
    _head(lines, name, "counter", "Time that the workers spent in each stage; a batch counts once.")
    for one in snapshot.versions:
        if one.model:
            spent = one.work_us.items()
            lines += [f'{name}{{{_labels(one)},stage="{stage}"}} {us / 1e6:.9f}' for stage, us in spent]
    name = "seakeep_stage_seconds"
    _head(lines, name, "histogram", "Time of answered requests in each stage; requests of one batch share its time.")
    for one in snapshot.versions:
        if one.model:
            _histograms(lines, name, one)
    return ("\n".join(lines) + "\n").encode()


def _head(lines: list[str], name: str, kind: str, text: str) -> None:
    lines.extend((f"# HELP {name} {text}", f"# TYPE {name} {kind}"))


def _lags(lines: list[str], snapshot: Snapshot) -> None:
    """A summary without quantiles: the rate of its sum over the rate of its count is the mean delay."""
    name = "seakeep_loop_lag_seconds"
    _head(lines, name, "summary", "How long what has arrived waits until the event loop looks at it.")
    for worker in snapshot.workers:
        labels, used = f'{{worker="{worker.index}"}}', worker.used
        lines += [f"{name}_sum{labels} {used.lag_us / 1e6:.6f}", f"{name}_count{labels} {used.lags}"]


def _labels(one: VersionMetrics) -> str:
    return f'model="{one.model}",version="{one.version or ""}"'


def _histograms(lines: list[str], name: str, one: VersionMetrics) -> None:
    for stage in STAGES:
        histogram = one.stages[stage]
        labels = f'{_labels(one)},stage="{stage}"'
        running, place = 0, 0
        for shown in _SHOWN:
            running += sum(histogram.counts[place : shown + 1])
            place = shown + 1
            lines.append(f'{name}_bucket{{{labels},le="{BOUNDS_US[shown] / 1e6:g}"}} {running}')
        lines.extend(
            (
                f'{name}_bucket{{{labels},le="+Inf"}} {histogram.count}',
                f"{name}_sum{{{labels}}} {histogram.sum_us / 1e6:.6f}",
                f"{name}_count{{{labels}}} {histogram.count}",
            )
        )
