"""Counters and latency histograms in a file per worker, mapped into memory: counting costs a few additions, and any
process can read what all workers counted, also of one that was killed.

A file is a header, a table of labels and a table of slots. Slot 0 counts what belongs to no version; each version gets
the next free slot; when all are taken, the last one counts everything else, so that labels cannot grow without bound.
Eight-byte cells are written by one thread alone, so that readers need no lock.
"""

from __future__ import annotations

import bisect
import dataclasses
import mmap
import os
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal as OneOf

from seakeep.errors import PlatformError
from seakeep.serving.errors import CODES

State = OneOf["starting", "ready", "not-ready", "draining", "stopped"]
STATES: tuple[State, ...] = ("starting", "ready", "not-ready", "draining", "stopped")
STAGES = ("parse", "queue", "validate", "features", "model", "serialise", "record", "total")
"""In the order of the path; the record is made after the answer is out, so the total is without it."""
TOGETHER = ("validate", "features", "model", "record")
"""Stages that a batch goes through once for all its requests."""
RUNGS = ("stale", "standby", "rule", "cached")
NATIVE = ("native_processes", "native_bytes", "native_start_ms", "native_restarts")
"""Of natively served models: the first three are as they are now, added up over the workers."""
COUNTERS = (
    "requests", "rows", "unknown", "shadow_scored", "shadow_dropped", "gaps", "batches", *RUNGS, "cache_missed", *NATIVE
)  # fmt: skip
BOUNDS_US = tuple(2 ** (step / 4) for step in range(105))
"""Upper bounds of the histogram's buckets, microseconds: a quarter of a doubling each, up to 67 s."""

_MAGIC = 0x314D4B53
_HEADER = (
    "magic", "pid", "state", "in_flight", "started_us", "beat_us", "loop_us", "cpu_us", "lag_us", "lags", "memory_bytes",
    "ready_bytes",
)  # fmt: skip
_SINCE = _HEADER.index("loop_us")  # from here on
_USED = slice(_SINCE, _SINCE + 4)
"""Sums over the worker's life, and over those before it in the same file."""
_MEMORY, _READY = _HEADER.index("memory_bytes"), _HEADER.index("ready_bytes")
_SLOTS = 64
_LABEL_BYTES = 72
_STAGE_CELLS = len(BOUNDS_US) + 2  # the last bucket has no bound; then the sum, in nanoseconds
_SLOT_CELLS = len(COUNTERS) + len(CODES) + len(STAGES) * _STAGE_CELLS + len(TOGETHER)
_LABELS_AT = len(_HEADER) * 8
_CELLS_AT = _LABELS_AT + _SLOTS * _LABEL_BYTES
_SIZE = _CELLS_AT + _SLOTS * _SLOT_CELLS * 8
_RUNGS_AT = COUNTERS.index(RUNGS[0])
_MISSED = COUNTERS.index("cache_missed")
_NATIVE_AT = COUNTERS.index(NATIVE[0])
_ERRORS_AT = len(COUNTERS)
_STAGES_AT = len(COUNTERS) + len(CODES)
_WORK_AT = _STAGES_AT + len(STAGES) * _STAGE_CELLS
_BATCHES = COUNTERS.index("batches")


def _starts(*stages: str) -> tuple[int, ...]:
    return tuple(_STAGES_AT + STAGES.index(stage) * _STAGE_CELLS for stage in stages)


_ALONE_AT = _starts("parse", "queue", "serialise", "total")
_TOGETHER_AT = tuple(zip(_starts(*TOGETHER), range(_WORK_AT, _WORK_AT + len(TOGETHER)), strict=True))
_CODE_PLACES = {code: place for place, code in enumerate(CODES)}
_OTHER = _CODE_PLACES["other"]


_bucket = bisect.bisect_left


class Meter:
    """Counts for one version, or for what belongs to none."""

    __slots__ = ("_cells",)

    def __init__(self, cells: memoryview[int]) -> None:
        self._cells = cells

    def answered(self, rows: int, unknown: int, stages_us: tuple[float, float, float, float]) -> None:
        """Count an answered request; ``stages_us``: its own time in parse, queue, serialise and in all, microseconds."""
        cells = self._cells
        cells[0] += 1
        cells[1] += rows
        if unknown:
            cells[2] += unknown
        for start, value in zip(_ALONE_AT, stages_us, strict=True):
            cells[start + _bucket(BOUNDS_US, value)] += 1
            cells[start + _STAGE_CELLS - 1] += int(value * 1000)

    def worked(self, answered: int, stages_us: tuple[float, float, float, float]) -> None:
        """Count a batch in which ``answered`` requests succeeded; ``stages_us`` in the order of :data:`TOGETHER`.

        Each request took as long as its batch; the work of the batch was done once.
        """
        cells = self._cells
        cells[_BATCHES] += 1
        for (start, work), value in zip(_TOGETHER_AT, stages_us, strict=True):
            if not value:  # tensors are neither validated again nor looked up
                continue
            spent_ns = int(value * 1000)
            cells[start + _bucket(BOUNDS_US, value)] += answered
            cells[start + _STAGE_CELLS - 1] += answered * spent_ns
            cells[work] += spent_ns

    def stood_in(self, rung: str, rows: int) -> None:
        """Count rows answered from a lower rung, or again."""
        self._cells[_RUNGS_AT + RUNGS.index(rung)] += rows

    def cache_missed(self, rows: int) -> None:
        """Count rows that a cache was asked for in vain."""
        self._cells[_MISSED] += rows

    def taken(self, rows: int) -> None:
        """Count a batch of events that was taken."""
        self._cells[0] += 1
        self._cells[1] += rows

    def failed(self, code: str) -> None:
        """Count a request that was answered with an error."""
        self._cells[0] += 1
        self._cells[_ERRORS_AT + _CODE_PLACES.get(code, _OTHER)] += 1

    def shadow(self, *, scored: int = 0, dropped: int = 0) -> None:
        """Count rows scored in the shadow, or dropped because there was no time for them."""
        self._cells[3] += scored
        self._cells[4] += dropped

    def native(self, processes: int, memory_bytes: int, start_s: float, restarts: int) -> None:
        """Say how the process of a natively served model is, and how often it was started again since the last time."""
        cells = self._cells
        cells[_NATIVE_AT : _NATIVE_AT + 3] = memoryview(array("Q", (processes, memory_bytes, int(start_s * 1000))))
        cells[_NATIVE_AT + 3] += restarts

    def gap(self) -> None:
        """Count a record that the recorder had no room for."""
        self._cells[5] += 1


@dataclasses.dataclass(frozen=True, slots=True)
class Used:
    """What a worker has used of its machine.

    Attributes
    ----------
    loop_us, cpu_us
        Processor time of the event loop's thread, and of all threads. A loop that uses a second in a second is full,
        however many processors there are.
    lag_us, lags
        Sum and number of delays of a timer: what a socket has to wait until the loop looks at it.
    memory_bytes
        Resident memory.
    """

    loop_us: int = 0
    cpu_us: int = 0
    lag_us: int = 0
    lags: int = 0
    memory_bytes: int = 0


class Meters:
    """A worker's own file.

    Parameters
    ----------
    folder
        Where the workers' files are.
    index
        The worker's number. A worker that takes a dead one's place counts on in its file, so that no sum goes back.

    Raises
    ------
    PlatformError
        The file cannot be made.
    """

    def __init__(self, folder: Path, index: int) -> None:
        path = folder / f"worker-{index}.metrics"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.truncate(handle, _SIZE)
                self._map = mmap.mmap(handle, _SIZE)
            finally:
                os.close(handle)
        except OSError as error:
            message = f"the metrics file {path} cannot be used: {error.strerror}"
            raise PlatformError(message, hint="make room, or let its folder be written") from error
        view = memoryview(self._map)
        self._header = view[:_LABELS_AT].cast("Q")
        self._labels = view[_LABELS_AT:_CELLS_AT]
        self._cells = view[_CELLS_AT:_SIZE].cast("Q")
        if self._header[0] != _MAGIC:
            view[:_SIZE] = bytes(_SIZE)
            self._header[0] = _MAGIC
        self._used = [label for label in _labels(bytes(self._labels)) if label]
        self._known = {label: place for place, label in enumerate(self._used, 1)}
        self._before = tuple(self._header[_USED])
        self._header[1] = os.getpid()
        self._header[3] = self._header[_READY] = 0
        self.server = Meter(self._slot(0))
        for place in self._known.values():  # processes of a worker before this one ended with it
            Meter(self._slot(place)).native(0, 0, 0.0, 0)

    def of(self, model: str, version: int) -> Meter:
        """The meter of a version."""
        label = f"{model}:{version}"
        place = self._known.get(label)
        if place is None:
            place = min(len(self._known) + 1, _SLOTS - 1)
            text = label.encode() if place < _SLOTS - 1 else b"other"
            self._known[label] = place
            self._labels[place * _LABEL_BYTES : (place + 1) * _LABEL_BYTES] = text.ljust(_LABEL_BYTES, b"\0")
        return Meter(self._slot(place))

    def settled(self, ready_bytes: int) -> None:
        """Say how much memory of its own the worker has when it has loaded everything, before its first request."""
        self._header[_READY] = ready_bytes

    def report(self, state: State, in_flight: int, now_us: int) -> None:
        """Say how the worker is."""
        self._header[2] = STATES.index(state)
        self._header[3] = in_flight
        self._header[5] = now_us

    def used(self, used: Used) -> None:
        """Say what the process has used since it began."""
        told = (used.loop_us, used.cpu_us, used.lag_us, used.lags)
        for place, (before, now) in enumerate(zip(self._before, told, strict=True), _SINCE):
            self._header[place] = before + now
        self._header[_MEMORY] = used.memory_bytes

    def started(self, now_us: int) -> None:
        """Say that the worker begins."""
        self._header[4] = now_us
        self.report("starting", 0, now_us)

    def _slot(self, place: int) -> memoryview[int]:
        return self._cells[place * _SLOT_CELLS : (place + 1) * _SLOT_CELLS]


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram:
    """Values of one stage, microseconds: ``counts`` by bucket of :data:`BOUNDS_US` and one beyond, and their sum."""

    counts: tuple[int, ...]
    sum_us: float

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The value below which a share ``q`` of the values lies, microseconds, to a tenth; NaN without values.

        Interpolated within the bucket, as Prometheus' ``histogram_quantile`` does.
        """
        rank = q * self.count
        if not rank:
            return float("nan")
        below, low = 0, 0.0
        for high, count in zip(BOUNDS_US, self.counts, strict=False):
            if below + count >= rank:
                return low + (high - low) * (rank - below) / count
            below += count
            low = high
        return low

    def __sub__(self, earlier: Histogram) -> Histogram:
        counts = tuple(a - b for a, b in zip(self.counts, earlier.counts, strict=True))
        return Histogram(counts, self.sum_us - earlier.sum_us)

    def __add__(self, other: Histogram) -> Histogram:
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(counts, self.sum_us + other.sum_us)


@dataclasses.dataclass(frozen=True, slots=True)
class VersionMetrics:
    """What was counted for one version by all workers, or for no version (``model`` is ``""``).

    Attributes
    ----------
    counters
        By name of :data:`COUNTERS`.
    errors
        By code; only those that happened.
    stages
        By name of :data:`STAGES`.
    work_us
        Time that the workers spent in each stage that is work, by name, microseconds; a batch counts once.
    """

    model: str
    version: int
    counters: dict[str, int]
    errors: dict[str, int]
    stages: dict[str, Histogram]
    work_us: dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How a worker was when it last said so.

    Attributes
    ----------
    ready_bytes
        Memory of its own when it had loaded everything; 0 before.
    """

    index: int
    pid: int
    state: State
    in_flight: int
    started_us: int
    beat_us: int
    used: Used = Used()
    ready_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """What all workers counted since the service was started."""

    workers: tuple[WorkerStatus, ...]
    versions: tuple[VersionMetrics, ...]


def together(versions: Sequence[VersionMetrics]) -> VersionMetrics:
    """What was counted for several versions of one model (at least one)."""
    first, *others = versions
    for other in others:
        first = VersionMetrics(
            model=first.model,
            version=0,
            counters={name: first.counters[name] + other.counters[name] for name in COUNTERS},
            errors=dict(Counter(first.errors) + Counter(other.errors)),
            stages={stage: first.stages[stage] + other.stages[stage] for stage in STAGES},
            work_us={stage: spent + other.work_us[stage] for stage, spent in first.work_us.items()},
        )
    return first


def prepare(folder: Path) -> None:
    """Begin anew: forget what earlier workers counted."""
    for path in folder.glob("worker-*.metrics"):
        path.unlink(missing_ok=True)


def read(folder: Path) -> Snapshot:
    """Read the files of all workers, and add them up by version."""
    workers: list[WorkerStatus] = []
    sums: dict[str, list[int]] = {}
    for path in _files(folder):
        content = path.read_bytes()
        status = _status(path, content)
        if len(content) != _SIZE or status is None:
            continue
        workers.append(status)
        cells = memoryview(content)[_CELLS_AT:].cast("Q")
        for place, label in enumerate(["", *_labels(content[_LABELS_AT:_CELLS_AT])]):
            if place and not label:
                continue
            slot = cells[place * _SLOT_CELLS : (place + 1) * _SLOT_CELLS].tolist()
            before = sums.get(label)
            sums[label] = slot if before is None else [a + b for a, b in zip(before, slot, strict=True)]
    return Snapshot(tuple(workers), tuple(_version(label, sums[label]) for label in sorted(sums)))


def statuses(folder: Path) -> tuple[WorkerStatus, ...]:
    """How all workers are, without what they counted."""
    found = []
    for path in _files(folder):
        with path.open("rb") as file:
            found.append(_status(path, file.read(_LABELS_AT)))
    return tuple(status for status in found if status)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("worker-*.metrics"))


def _status(path: Path, content: bytes) -> WorkerStatus | None:
    header = memoryview(content)[:_LABELS_AT].cast("Q") if len(content) >= _LABELS_AT else [0]
    if header[0] != _MAGIC:
        return None
    index = int(path.stem.partition("-")[2])
    used = Used(*header[_SINCE : _MEMORY + 1])
    return WorkerStatus(index, header[1], STATES[header[2]], header[3], header[4], header[5], used, header[_READY])


def _labels(content: bytes) -> list[str]:
    """Labels of the slots from 1 on."""
    return [
        content[place * _LABEL_BYTES : (place + 1) * _LABEL_BYTES].rstrip(b"\0").decode() for place in range(1, _SLOTS)
    ]


def _version(label: str, slot: list[int]) -> VersionMetrics:
    model, _, number = label.partition(":")
    stages = {}
    for place, stage in enumerate(STAGES):
        start = _STAGES_AT + place * _STAGE_CELLS
        cells = slot[start : start + _STAGE_CELLS]
        stages[stage] = Histogram(tuple(cells[:-1]), cells[-1] / 1000)
    work = {stage: stages[stage].sum_us for stage in ("parse", "serialise")}
    work |= {stage: spent / 1000 for stage, spent in zip(TOGETHER, slot[_WORK_AT:], strict=True)}
    counted = dict(zip(CODES, slot[_ERRORS_AT:_STAGES_AT], strict=True))
    errors = {code: count for code, count in counted.items() if count}
    return VersionMetrics(model, int(number or 0), dict(zip(COUNTERS, slot, strict=False)), errors, stages, work)
