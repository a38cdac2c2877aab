"""The pages' values from a project's records."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import numpy as np

from seakeep.alerting.budget import recent
from seakeep.clock import DAY_US, Clock, format_moment
from seakeep.dashboard.values import (
    FeatureValue,
    ModelPage,
    ModelRow,
    NowPage,
    Outcome,
    PredictionPage,
    PredictionRow,
    Reexecution,
    Rollout,
    RunPage,
    Serving,
    VersionPage,
    feature_values,
    prediction_row,
    stages,
)
from seakeep.dashboard.watched import Reference, Watched
from seakeep.dashboard.windows import traffic_windows, window_step
from seakeep.errors import NotFoundError, RowError, SeakeepError
from seakeep.monitoring.history import Labelled
from seakeep.monitoring.latency import failures
from seakeep.monitoring.proportion import proportion
from seakeep.recorder import query
from seakeep.recorder.losses import losses
from seakeep.recorder.pairs import pairs_of
from seakeep.records.finding import Page
from seakeep.records.outputs import PROBABILITY, Outputs
from seakeep.records.prediction import Prediction
from seakeep.records.release import Receipt, Release, Route
from seakeep.records.run import Metric
from seakeep.serving.comparison import judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.project import Project
    from seakeep.recorder.table import PredictionTable

DEFAULT_DAYS = 30
"""Days a model's page shows unless asked for others."""
RECENT = 12
"""Predictions in the list of the newest."""
LOSSES_S = 60.0
"""How old what is told of losses may be, in seconds."""
RECEIPTS = 3
"""Receipts on the first page."""
METRICS = {"probability": "recall", "probabilities": "accuracy", "value": "mae"}
"""What the first page tells of the quality of a model, by what it answers."""
ATTENTION = {"both": 0, "model-failing": 0, "world-changed": 1, "cannot-tell": 2, "nothing": 3}

P = ParamSpec("P")
R = TypeVar("R")


def _alone(
    method: Callable[Concatenate[RecordedPages, P], R],
) -> Callable[Concatenate[RecordedPages, P], R]:
    """Let one page at a time use the records in memory."""

    @functools.wraps(method)
    def guarded(self: RecordedPages, /, *args: P.args, **named: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **named)

    return guarded


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Summary:
    """Answered requests in numbers."""

    predictions: int = 0
    errors: int = 0
    p99_ms: float | None = None
    alert_rate: Metric | None = None


class RecordedPages:
    """A :class:`~seakeep.dashboard.source.PageSource` over a project.

    In a project that lives in the past (``serving.clock = "request"``), now is the newest recorded moment.
    """

    def __init__(self, project: Project, *, clock: Clock) -> None:
        self._project, self._clock = project, clock
        self._watched: dict[str, Watched] = {}
        self._lost: tuple[float, tuple[str, ...]] = (-math.inf, ())
        self.lock = threading.RLock()

    @_alone
    def close(self) -> None:
        """Let go of the recorder's files; the next page takes them up again."""
        while self._watched:
            self._watched.popitem()[1].close()

    @_alone
    def now(self) -> NowPage:
        """All models, those that need attention first."""
        now_us = self._now_us()
        rows = sorted(
            (self._row(name, now_us) for name in self._project.models),
            key=lambda row: (ATTENTION[row.verdict.cause] if row.verdict else 4, row.name),
        )
        receipts = sorted(
            (one for name in self._project.models for one in self._receipts(name)), key=lambda one: -one.ended_us
        )
        return NowPage(
            now_us=now_us,
            from_us=now_us - DAY_US,
            to_us=now_us,
            models=tuple(rows),
            receipts=tuple(receipts[:RECEIPTS]),
            pages=tuple(
                sorted((one for name in self._project.models for one in self._pages(name, now_us)), key=_newest_first)
            ),
            losses=self._losses(),
        )

    @_alone
    def model(self, name: str, from_us: int | None, to_us: int | None) -> ModelPage:
        """One model over a range."""
        name = self._known(name)
        now_us = self._now_us()
        watched, current = self._watch(name), self._current(name)
        answers = watched.answers if watched else None
        times = np.empty(0, dtype=np.int64) if answers is None else answers.predictions.time_us
        first_us, last_us = (int(times[0]), int(times[-1])) if len(times) else (0, 0)
        from_us, to_us = _range(from_us, to_us, now_us=now_us, first_us=first_us)
        rows = None if answers is None else answers.between(from_us, to_us).predictions
        champion = current.champion.version if current and current.champion else 0
        seen = watched.brief(champion, now_us, self._pages(name, now_us)) if watched and champion else None
        shown = {line.subject for line in seen.lines} if seen else set()
        releases = self._project.history(name)
        outputs = answers.outputs if answers else PROBABILITY
        summary = _summarise(rows, outputs)
        return ModelPage(
            name=name,
            now_us=now_us,
            from_us=from_us,
            to_us=to_us,
            first_us=first_us,
            last_us=last_us,
            verdict=seen.verdict if seen else None,
            action=seen.action if seen else "",
            serving=tuple(self._serving(rows, releases, outputs)) if rows is not None else (),
            rollout=self._rollout(name, current, answers),
            traffic=traffic_windows(rows, from_us, min(to_us, now_us), window_step(from_us, to_us), outputs)
            if rows is not None
            else (),
            quality=watched.quality(champion, from_us, to_us, now_us) if watched and seen else (),
            findings=seen.lines if seen else (),
            distributions=watched.distributions(champion, shown, now_us) if watched and seen else {},
            releases=tuple(releases),
            released_us=self._on_time_line(releases, answers, now_us),
            gates={
                f"{name}:{route.version}": self._project.stores.gates.get(name, route.version)
                for route in (current.routes if current else ())
            },
            receipts=tuple(reversed(self._receipts(name))),
            recent=tuple(_recent(name, rows, outputs)) if rows is not None else (),
            predictions=summary.predictions,
            errors=summary.errors,
            p99_ms=summary.p99_ms,
            alert_rate=summary.alert_rate,
        )

    @_alone
    def prediction(self, id: str) -> PredictionPage:  # noqa: A002 -- the record's own word
        """One recorded prediction, executed again."""
        found = query.find(self._project.home.predictions, id)
        features: tuple[FeatureValue, ...] = ()
        threshold, outputs = None, PROBABILITY
        try:
            bundle = self._project.stores.bundles.open(found.bundle)
        except SeakeepError:
            bundle = None  # the version is gone; what was recorded stays
        if bundle:
            definition = bundle.definition
            features = feature_values(found, definition.columns, tuple(view.name for view in definition.views))
            outputs = definition.label.outputs
            threshold = bundle.threshold if outputs.yes_or_no else None
        return PredictionPage(
            row=prediction_row(found, outputs),
            bundle=found.bundle,
            principal=found.principal,
            pair=found.pair,
            threshold=threshold,
            request=found.request,
            features=features,
            stages=stages(found),
            outcome=self._outcome(found),
            reexecution=self._again(found),
        )

    def run(self, id: str) -> RunPage:  # noqa: A002 -- the record's own word
        """One training run."""
        run = self._project.stores.runs.get(id)
        versions = self._project.stores.versions.list(run.model)
        return RunPage(run=run, versions=tuple(version for version in versions if version.run == run.id))

    def version(self, ref: str) -> VersionPage:
        """One version."""
        version = self._project.resolve(ref)
        releases = self._project.history(version.model)
        routes = [_route_of(version.number, release) for release in releases]
        return VersionPage(
            version=version,
            parity=self._project.bundle(version).proof,
            gates=self._project.stores.gates.get(version.model, version.number),
            route=routes[-1] if routes else None,
            releases=tuple(
                release
                for release, before, route in zip(releases, (None, *routes), routes, strict=False)
                if route or before
            ),
            receipts=tuple(one for one in self._receipts(version.model) if one.candidate == version.number),
        )

    def _row(self, name: str, now_us: int) -> ModelRow:
        watched, current = self._watch(name), self._current(name)
        champion = current.champion if current else None
        answers = watched.answers if watched else None
        rows = None if answers is None else answers.between(now_us - DAY_US, now_us).predictions
        pages = self._pages(name, now_us)
        seen = watched.brief(champion.version, now_us, pages) if watched and champion else None
        known = watched.week(champion.version, now_us) if watched and champion and seen else {}
        outputs = answers.outputs if answers else PROBABILITY
        summary, metric = _summarise(rows, outputs), METRICS[outputs.kind]
        return ModelRow(
            name=name,
            verdict=seen.verdict if seen else None,
            quality_metric=metric,
            estimated=seen.estimate.metrics.get(metric) if seen and seen.estimate else None,
            realised=known.get(metric),
            champion=champion,
            candidate=current.candidate if current else None,
            rollout=self._rollout(name, current, answers),
            recent=traffic_windows(rows, now_us - DAY_US, now_us, DAY_US // 24, outputs) if rows is not None else (),
            predictions=summary.predictions,
            errors=summary.errors,
            p99_ms=summary.p99_ms,
            alert_rate=summary.alert_rate,
        )

    def _now_us(self) -> int:
        """The present of the project."""
        if self._project.settings.serving.clock == "wall":
            return self._clock.now_us()
        newest = [
            int(watched.answers.predictions.time_us[-1])
            for watched in map(self._watch, self._project.models)
            if watched and len(watched.answers)
        ]
        return max(newest) + 1 if newest else self._clock.now_us()

    def _on_time_line(self, releases: Sequence[Release], answers: Labelled | None, now_us: int) -> tuple[int, ...]:
        """When releases took effect, in the time that the predictions speak for."""
        if self._project.settings.serving.clock == "wall" or answers is None:
            return tuple(one.from_us for one in releases)
        table = answers.predictions
        after = [table.time_us[table.recorded_us >= one.from_us] for one in releases]
        return tuple(int(times[0]) if len(times) else now_us for times in after)

    def _watch(self, name: str) -> Watched | None:
        if name not in self._watched:
            followed = self._project.follow(name)
            if followed is None:
                return None
            budget = self._project.models[name].alerts
            self._watched[name] = Watched(name, followed, functools.partial(self._reference, name), budget)
        self._watched[name].refresh()
        return self._watched[name]

    def _reference(self, name: str, number: int) -> Reference:
        version = self._project.resolve(f"{name}:{number}")
        return *self._project.validation(version), self._project.bundle(version).definition.columns

    def _known(self, name: str) -> str:
        if name not in self._project.models:
            raise NotFoundError(f"no model is called {name[:64]!r}", hint=f"known: {', '.join(self._project.models)}")
        return name

    def _current(self, name: str) -> Release | None:
        history = self._project.history(name)
        return history[-1] if history else None

    def _pages(self, name: str, now_us: int) -> tuple[Page, ...]:
        return recent(self._project.stores.pages.pages(name), now_us=now_us)

    def _losses(self) -> tuple[str, ...]:
        """Of all the records, which takes reading them; so not at every look."""
        if time.monotonic() - self._lost[0] >= LOSSES_S:
            home = self._project.home
            self._lost = time.monotonic(), losses(home.predictions, home.events).sentences
        return self._lost[1]

    def _receipts(self, name: str) -> list[Receipt]:
        return self._project.stores.receipts.receipts(name)

    def _rollout(self, name: str, current: Release | None, answers: Labelled | None) -> Rollout | None:
        if current is None or current.candidate is None or current.champion is None or answers is None:
            return None
        champion, candidate = current.champion.version, current.candidate.version
        started_us = _since(self._project.history(name), current.candidate)
        rows = answers.select(answers.predictions.recorded_us >= started_us)
        delay_us = self._project.bundle(self._project.resolve(f"{name}:{champion}")).definition.label.delay_us
        pairs = pairs_of(
            rows.predictions, champion, candidate, label=rows.value, known_us=rows.known_us, delay_us=delay_us
        )
        canary = self._project.models[name].rollout
        judged = judge(pairs, canary, answers.outputs) if canary else None
        reasons = judged.reasons if judged else ()
        if canary and judged and judged.action == "wait" and len(pairs) < canary.min_pairs:
            reasons = reasons[1:]  # that there are too few pairs, which the numbers say
        return Rollout(
            champion=champion,
            candidate=candidate,
            started_us=started_us,
            weight=current.candidate.weight,
            stages=tuple(canary.stages) if canary else (),
            pairs=int((pairs.recorded_us >= current.from_us).sum()),
            pairs_needed=canary.min_pairs if canary else 0,
            evidence=reasons,
        )

    @staticmethod
    def _serving(rows: PredictionTable, releases: Sequence[Release], outputs: Outputs) -> list[Serving]:
        found = []
        for route in releases[-1].routes if releases else ():
            mine = rows.select(rows.version == route.version)
            answered = mine.select(mine.role != "shadow")
            summary = _summarise(answered, outputs)
            found.append(
                Serving(
                    route=route,
                    since_us=_since(releases, route),
                    answered=len(answered),
                    shadowed=len(mine) - len(answered),
                    p99_ms=summary.p99_ms,
                    alert_rate=summary.alert_rate,
                )
            )
        return found

    def _outcome(self, found: Prediction) -> Outcome | None:
        watched = self._watch(found.model) if found.model in self._project.models else None
        if watched is None or not found.key:
            return None
        known = watched.outcome(found.key)
        return Outcome(value=known[0], known_us=known[1]) if known else None

    def _again(self, found: Prediction) -> Reexecution:
        try:
            again = self._project.why(found.id)
        except SeakeepError as error:
            return Reexecution(result="not-run", score=None, detail=error.message)
        return Reexecution(
            result="equal" if again.equal else "different",
            score=again.recomputed,
            detail=f"{found.model}:{found.version} on this host; bits {again.recorded_bits} then, {again.recomputed_bits} now.",
        )


def _newest_first(page: Page) -> int:
    return -page.time_us


def _since(releases: Sequence[Release], held: Route) -> int:
    """Since when a version of the newest release has had its part without a break."""

    def holds(release: Release) -> bool:
        return any((route.version, route.role) == (held.version, held.role) for route in release.routes)

    return [release.from_us for release in itertools.takewhile(holds, reversed(releases))][-1]


def _summarise(rows: PredictionTable | None, outputs: Outputs) -> _Summary:
    if rows is None:
        return _Summary()
    rows = rows.select(rows.role != "shadow")
    good = rows.error == ""
    took = rows.total_us[good]
    return _Summary(
        predictions=len(rows),
        errors=int(failures(rows).sum()),
        p99_ms=float(np.percentile(took, 99)) / 1_000 if len(took) else None,
        alert_rate=proportion(int(rows.decision[good].sum()), int(good.sum())) if outputs.yes_or_no else None,
    )


def _range(from_us: int | None, to_us: int | None, *, now_us: int, first_us: int) -> tuple[int, int]:
    """The range to show: what is asked for, by default the last days or all that is recorded of them.

    Raises
    ------
    RowError
        It begins after now and has no end.
    """
    end = now_us if to_us is None else to_us
    if from_us is None:
        start = end - DEFAULT_DAYS * DAY_US
        return max(start, first_us) if first_us < end else start, end
    if from_us >= end:
        raise RowError(
            f"the range from {format_moment(from_us)} on has not begun: now is {format_moment(now_us)}",
            column="from",
            hint="`from` must lie before now, or give `to` as well",
        )
    return from_us, end


def _route_of(number: int, release: Release) -> Route | None:
    return next((route for route in release.routes if route.version == number), None)


def _class(scores: NDArray[np.float64], outputs: Outputs) -> str:
    """The class that a row of probabilities answers with; ``""`` of other models, and where it failed."""
    if not outputs.of_classes or len(scores) != len(outputs.names) or not np.isfinite(scores).all():
        return ""
    return outputs.names[int(np.argmax(scores))]


def _recent(name: str, rows: PredictionTable, outputs: Outputs) -> list[PredictionRow]:
    rows = rows.select(np.flatnonzero(rows.role != "shadow")[-RECENT:][::-1])
    return [
        PredictionRow(
            id=str(rows.id[place]),
            model=name,
            version=int(rows.version[place]),
            role=rows.role[place],
            time_us=int(rows.time_us[place]),
            recorded_us=int(rows.recorded_us[place]),
            key=str(rows.key[place]),
            score=float(rows.score[place]) if math.isfinite(rows.score[place]) else None,
            decision=bool(rows.decision[place]) if outputs.yes_or_no else None,
            total_us=float(rows.total_us[place]),
            error=str(rows.error[place]),
            answer=_class(rows.scores[place], outputs),
        )
        for place in range(len(rows))
    ]
