"""Recorded requests through a private worker, at rates: measures what :mod:`seakeep.replay.capacity` reasons about."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from seakeep.config import Home
from seakeep.errors import NotFoundError, ServingError
from seakeep.features.personal import unreadable
from seakeep.project.load import LoadedProject
from seakeep.project.online import OnlineViews
from seakeep.project.scratch import scratch
from seakeep.project.service import READY_S
from seakeep.project.stores import Stores
from seakeep.project.worker import private
from seakeep.recorder.table import AskedTable, PredictionTable
from seakeep.records.model import ModelDefinition
from seakeep.records.profile import Advice, Level, Profile, StageCost
from seakeep.records.version import Version
from seakeep.replay import capacity
from seakeep.replay.openloop import Offered, arrivals, offer
from seakeep.serving import metrics
from seakeep.serving.client import written
from seakeep.serving.supervisor import Supervisor
from seakeep.serving.vitals import Ran, main_thread, own_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.records.feature import FeatureColumn
    from seakeep.registry.bundle import Bundle

MOST_REQUESTS = 20_000
"""Recorded requests that are sent, again and again; more would only take memory here."""
STEPS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.15)
"""Rates of a sweep, as parts of what the worker answered when it was never idle."""
WARM_S = 0.5
"""Begin of each level that is not counted, in seconds."""
CONNECTIONS = 64
"""That keep a worker busy; at a given rate four times as many may be used."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """How to measure.

    Attributes
    ----------
    seconds
        Length of each level.
    headers
        Sent with every request, for example an API key.
    on_level
        Called with each level when it was measured.
    """

    seconds: float = 3.0
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    on_level: Callable[[Level], None] = lambda _level: None


class _Seen(NamedTuple):
    """A worker at one moment."""

    at_s: float
    main: Ran
    version: metrics.VersionMetrics


class Profiler:
    """Measures a model of a project."""

    def __init__(self, loaded: LoadedProject, home: Home, stores: Stores, options: ProfileOptions) -> None:
        self._loaded, self._home, self._stores, self._options = loaded, home, stores, options

    def profile(self, version: Version, recorded: Iterator[PredictionTable], rate: float | None) -> Profile:
        """Measure at one rate, or in steps; raises as :meth:`seakeep.project.past.Past.profile` does."""
        import uvloop

        bundle = self._stores.bundles.open(version.bundle)
        tables = _recorded(version.model, recorded)
        hidden = unreadable(bundle.definition.request)
        with scratch(self._home.root) as folder:
            worker = self._worker(folder)
            try:
                OnlineViews(self._home, self._stores).fill([bundle])
                worker.start()
                worker.wait_ready(READY_S)
                send = functools.partial(self._request, bundle.definition, hidden, f"127.0.0.1:{worker.port}")
                asked = [send(table, place) for table in tables for place in range(len(table))]
                running = _Running(worker, self._home.beside(folder).metrics, version.model, self._options)
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    levels = tuple(runner.run(running.measure([request for request, _ in asked], rate)))
                memory = own_bytes(worker.status()[0].pid)
            finally:
                worker.close()
        found = capacity.knee(levels)
        wanted = rate or capacity.busiest_rate(np.concatenate([table.recorded_us for table in tables]))
        rows_us = _model_times(bundle, tables[0])
        best = capacity.best_rows(rows_us)
        return Profile(
            model=version.model,
            requests=len(asked),
            looked_up=sum(by_row for _, by_row in asked),
            levels=levels,
            knee=found,
            bottleneck=capacity.bottleneck(levels),
            advice=Advice(
                rate=wanted,
                workers=capacity.workers_for(wanted, found, levels),
                cores=len(os.sched_getaffinity(0)),
                rows=best,
                row_us=rows_us[best] / best,
                alone_us=rows_us[1],
                worker_mb=memory / 2**20,
            ),
        )

    def _worker(self, beside: Path) -> Supervisor:
        folder = str(self._loaded.folder)
        settings = msgspec.structs.replace(private(self._loaded.settings.serving), port=0, workers=1)

        def command(index: int, port: int) -> list[str]:
            program = [sys.executable, "-P", "-m", "seakeep.project.worker"]
            return [*program, folder, str(index), str(port), str(beside)]

        return Supervisor(command, settings, self._home.beside(beside).metrics)

    def _request(
        self, definition: ModelDefinition, hidden: frozenset[str], host: str, table: AskedTable, place: int
    ) -> tuple[bytes, bool]:
        """A recorded request as it was sent, and whether it asks by row; else it asks with the recorded inputs.

        Parameters
        ----------
        hidden
            Columns that were not recorded as they were sent.
        """
        row = table.request[place]
        sent: bytes = row.encode() if isinstance(row, str) else bytes(row)
        by_row = len(sent) > 2 and not hidden
        if by_row:
            path, body = f"/v1/models/{definition.name}/predict", b'{"rows":[%b]}' % sent
        else:
            path, body = f"/v2/models/{definition.name}/infer", _tensors(table, place, definition.columns)
        headers = {"content-type": "application/json", **self._options.headers}
        return written(b"POST", path, headers, body, host), by_row


class _Running:
    """A worker that runs, and what it is asked."""

    def __init__(self, worker: Supervisor, folder: Path, model: str, options: ProfileOptions) -> None:
        self._folder, self._model, self._options = folder, model, options
        self._address = ("127.0.0.1", worker.port)
        self._process = worker.status()[0].pid

    async def measure(self, requests: list[bytes], rate: float | None) -> list[Level]:
        """The levels by ascending rate."""
        full = await self._capacity(requests, min(2.0, self._options.seconds) if rate is None else WARM_S)
        levels = []
        for step, each in enumerate([full * part for part in STEPS] if rate is None else [rate]):
            level = await self._level(requests, each, seed=step)
            self._options.on_level(level)
            levels.append(level)
        return levels

    async def _capacity(self, requests: list[bytes], seconds: float) -> float:
        """Requests a second that the worker answers if there is always another one.

        Raises
        ------
        ServingError
            It answers none with a prediction.
        """
        due_s = np.zeros(round(seconds * 100_000))
        found = await offer(requests, due_s, self._address, connections=CONNECTIONS, until_s=seconds)
        answered = int((found.status == 200).sum())
        _refuse_unanswered(found, answered)
        return answered / seconds

    async def _level(self, requests: list[bytes], rate: float, *, seed: int) -> Level:
        due_s = arrivals(rate, self._options.seconds + WARM_S, seed)
        offering = asyncio.create_task(offer(requests, due_s, self._address, connections=4 * CONNECTIONS))
        await asyncio.sleep(WARM_S)
        before = self._look()
        found = await offering
        after = self._look()
        counted = found.due_s >= WARM_S
        answered = counted & (found.status == 200)
        _refuse_unanswered(found, int((found.status == 200).sum()))
        latency_us = found.latency_s[answered] * 1e6
        late_us = found.late_s[counted & ~np.isnan(found.late_s)] * 1e6
        late = float(np.percentile(late_us, 99)) if len(late_us) else 0.0
        seconds = after.at_s - before.at_s
        batches = after.version.counters["batches"] - before.version.counters["batches"]
        rows = after.version.counters["rows"] - before.version.counters["rows"]
        return Level(
            offered=rate,
            answered=float(answered.sum()) / max(seconds, 1e-9),
            failed=int((counted & (found.status != 200)).sum()),
            mean_us=capacity.interval(latency_us, _mean),
            p50_us=capacity.interval(latency_us, _p50),
            p99_us=capacity.interval(latency_us, _p99),
            busy=(after.main.ran_s - before.main.ran_s) / seconds,
            preempted=(after.main.waited_s - before.main.waited_s) / seconds,
            batch_rows=rows / batches if batches else 0.0,
            late_us=late,
            limited=late > capacity.LATE_US,
            stages=_stages(before.version, after.version, seconds),
        )

    def _look(self) -> _Seen:
        """The worker now: all versions of the model together."""
        snapshot = metrics.read(self._folder)
        found = [one for one in snapshot.versions if one.model == self._model]
        return _Seen(time.perf_counter(), main_thread(self._process), metrics.together(found))


def _stages(before: metrics.VersionMetrics, after: metrics.VersionMetrics, seconds: float) -> dict[str, StageCost]:
    told = {}
    for stage in metrics.STAGES:
        passed = after.stages[stage] - before.stages[stage]
        if stage != "total" and passed.count:
            work_us = after.work_us.get(stage, 0.0) - before.work_us.get(stage, 0.0)
            told[stage] = StageCost(
                mean_us=passed.sum_us / passed.count, p99_us=passed.quantile(0.99), share=work_us / 1e6 / seconds
            )
    return told


def _refuse_unanswered(found: Offered, answered: int) -> None:
    if not answered:
        message = f"no recorded request was answered with a prediction: {found.first_failure or 'no answer at all'}"
        raise ServingError(message, hint="a service with keys needs one: set SEAKEEP_KEY, or --key")


def _recorded(model: str, blocks: Iterator[PredictionTable]) -> list[AskedTable]:
    """Requests that were answered, up to as many as are sent; raises NotFoundError if there is none."""
    tables: list[AskedTable] = []
    count = 0
    for table in (one for one in blocks if isinstance(one, AskedTable)):
        tables.append(table.select(table.error == "").select(slice(MOST_REQUESTS - count)))
        count += len(tables[-1])
        if count >= MOST_REQUESTS:
            break
    if not count:
        raise NotFoundError(f"{model} has no recorded predictions in this period", hint="ask it something first")
    return [table for table in tables if len(table)]


def _tensors(table: AskedTable, place: int, columns: tuple[FeatureColumn, ...]) -> bytes:
    """The recorded inputs of a row as the body of a request of the Open Inference Protocol."""
    numbers, categories = iter(table.numbers[place].tolist()), iter(table.categories[place].tolist())
    inputs = []
    for column in columns:
        number = column.kind == "number"
        value = next(numbers) if number else next(categories)
        data = [None if value != value else value]  # noqa: PLR0124 -- only NaN differs from itself
        inputs.append({"name": column.name, "datatype": "FP64" if number else "BYTES", "shape": [1], "data": data})
    return msgspec.json.encode({"inputs": inputs})


def _model_times(bundle: Bundle, table: AskedTable) -> dict[int, float]:
    """Time of the model for so many recorded rows together, microseconds: the median of many."""
    from seakeep.conversion.engine import open_session

    session = open_session(bundle.model)
    times = {}
    for rows in ROWS:
        places = np.arange(rows) % len(table)
        numbers, categories = table.numbers[places], table.categories[places]
        taken: list[float] = []
        until_s = time.perf_counter() + 0.1
        while time.perf_counter() < until_s or len(taken) < 5:
            began_s = time.perf_counter()
            session.score(numbers, categories)
            taken.append(time.perf_counter() - began_s)
        times[rows] = float(np.median(taken)) * 1e6
    return times


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _p50(values: NDArray[np.float64]) -> float:
    return float(np.percentile(values, 50))


def _p99(values: NDArray[np.float64]) -> float:
    return float(np.percentile(values, 99))
