"""A source of pages over simulated traffic: every number is computed from the simulated predictions below.

The simulation: a month of requests with a latent risk; from the 12th on the risk rises by half while the scores of the
model fall, as when an input breaks. Outcomes become known six hours later.
"""

from __future__ import annotations

import hashlib
import itertools

import numpy as np

from seakeep.clock import DAY_US, MICROSECONDS, FixedClock, parse_moment
from seakeep.dashboard.values import (
    Distribution,
    ModelPage,
    ModelRow,
    NowPage,
    Outcome,
    PredictionPage,
    PredictionRow,
    QualityWindow,
    Reexecution,
    Rollout,
    RunPage,
    Serving,
    VersionPage,
    feature_values,
    prediction_row,
    stages,
)
from seakeep.dashboard.windows import traffic_windows, window_step
from seakeep.errors import NotFoundError
from seakeep.recorder.table import PredictionTable
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn, FeatureView, mean
from seakeep.records.finding import Finding, Verdict
from seakeep.records.gate import GateResult
from seakeep.records.model import Label, ModelDefinition, TopShare
from seakeep.records.prediction import Prediction
from seakeep.records.release import Receipt, Release, Route
from seakeep.records.run import Environment, Metric, Run
from seakeep.records.source import Events
from seakeep.records.version import ParityProof, Version, parse_reference

START_US = parse_moment("2013-07-01")
END_US = parse_moment("2013-08-01")
BROKEN_US = parse_moment("2013-07-12")
HOUR_US = 3_600 * MICROSECONDS
LABEL_DELAY_US = 6 * HOUR_US
RUN = "r-3f2a91c07be4"
MODELS = ("late-arrival", "turnaround")
COLUMNS = (
    FeatureColumn(name="carrier_recent.late_rate_24h", kind="number", view="carrier_recent"),
    FeatureColumn(name="wind_speed", kind="number"),
    FeatureColumn(name="carrier", kind="category"),
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def wilson(hits: float, n: float) -> Metric | None:
    """Wilson's score interval of a proportion (Wilson, 1927)."""
    if not n:
        return None
    z, p = 1.96, hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Metric(value=p, low=max(0.0, float(centre - half)), high=min(1.0, float(centre + half)))


class Traffic:
    """Simulated predictions of one model, and what became of them."""

    def __init__(self, seed: int, *, fails: bool) -> None:
        rng = np.random.default_rng(seed)
        hours = np.arange(START_US, END_US, HOUR_US)
        daily = 8 + 44 * np.exp(-(((hours // HOUR_US % 24) - 14) ** 2) / 40)
        n = rng.poisson(daily)
        time_us = np.sort(np.repeat(hours, n) + rng.integers(0, HOUR_US, n.sum()))
        size = len(time_us)
        broken = fails & (time_us >= BROKEN_US)
        risk = rng.beta(1.2, 5.5, size)
        self.outcome = rng.random(size) < np.clip(risk * np.where(broken, 1.5, 1.0), 0, 1)
        score = np.clip(risk * np.where(broken, 0.72, 1.0) + rng.normal(0, 0.03, size), 0.001, 0.999)
        failed = rng.random(size) < 0.0008
        candidate = (time_us >= parse_moment("2013-07-24")) & (rng.random(size) < 0.1) & fails
        total = rng.lognormal(5.6, 0.45, size)
        wind = rng.gamma(3.0, 4.0, size)
        late = np.where(broken, 0.0, np.clip(risk + rng.normal(0, 0.05, size), 0, 1))
        late[rng.random(size) < 0.02] = np.nan
        self.table = PredictionTable(
            id=np.array([f"01J{seed:02d}{k:021d}" for k in range(size)], dtype=object),
            key=np.array([f"UA-{k % 2400}-{t // DAY_US}" for k, t in enumerate(time_us)], dtype=object),
            role=np.where(candidate, "canary", "champion").astype(object),
            pair=np.full(size, "", dtype=object),
            error=np.where(failed, "unavailable", "").astype(object),
            version=np.where(candidate, 4, 3),
            time_us=time_us,
            recorded_us=time_us + 900,
            numbers=np.column_stack([late, wind]),
            categories=rng.choice(["UA", "B6", "EV", ""], (size, 1)).astype(object),
            score=np.where(failed, np.nan, score),
            decision=(score >= 0.31) & ~failed,
            model_us=total * 0.2,
            total_us=total,
        )

    def between(self, from_us: int, to_us: int) -> slice:
        first, last = np.searchsorted(self.table.time_us, (from_us, to_us))
        return slice(int(first), int(last))

    def quality(self, from_us: int, to_us: int, now_us: int) -> QualityWindow:
        rows = self.between(from_us, to_us)
        table, outcome = self.table.select(rows), self.outcome[rows]
        good = table.error == ""
        known = good & (table.time_us + LABEL_DELAY_US < now_us)
        yes, score = table.decision[good], table.score[good]
        estimated = {
            "recall": wilson(score[yes].sum(), score.sum()),
            "base_rate": wilson(score.sum(), good.sum()),
            "alert_rate": wilson(yes.sum(), good.sum()),
        }
        realised = {
            "recall": wilson((table.decision & outcome & known).sum(), (outcome & known).sum()),
            "precision": wilson((table.decision & outcome & known).sum(), (table.decision & known).sum()),
            "base_rate": wilson((outcome & known).sum(), known.sum()),
        }
        return QualityWindow(
            from_us=from_us,
            to_us=to_us,
            labelled=int(known.sum()),
            unlabelled=int((good & ~known).sum()),
            estimated={name: metric for name, metric in estimated.items() if metric},
            realised={name: metric for name, metric in realised.items() if metric},
        )

    def record(self, position: int, model: str) -> Prediction:
        table = self.table.select(slice(position, position + 1))
        total = float(table.total_us[0])
        return Prediction(
            sequence=position + 1,
            id=table.id[0],
            model=model,
            version=int(table.version[0]),
            bundle=sha(f"{model}:{table.version[0]}"),
            role=table.role[0],
            pair="",
            time_us=int(table.time_us[0]),
            recorded_us=int(table.recorded_us[0]),
            key=table.key[0],
            principal="",
            request={"carrier": table.categories[0, 0], "wind_speed": float(table.numbers[0, 1])},
            numbers=table.numbers[0].tolist(),
            categories=table.categories[0].tolist(),
            feature_times_us=[int(table.time_us[0]) - 14 * 60 * MICROSECONDS],
            score=float(table.score[0]),
            decision=bool(table.decision[0]),
            parse_us=total * 0.1,
            features_us=total * 0.4,
            queue_us=total * 0.3,
            model_us=float(table.model_us[0]),
            total_us=total,
            error=table.error[0],
        )


def route(model: str, version: int, role: str, weight: float) -> Route:
    return Route(model=model, version=version, bundle=sha(f"{model}:{version}"), role=role, weight=weight)


def releases(model: str) -> tuple[Release, ...]:
    def release(revision: int, day: str, action: str, actor: str, reason: str, *routes: Route) -> Release:
        return Release(
            model=model,
            revision=revision,
            from_us=parse_moment(day),
            action=action,
            actor=actor,
            reason=reason,
            routes=routes,
        )

    three = route(model, 3, "champion", 1.0)
    history = (release(1, "2013-06-20T09:00", "promote", "ada", f"first release, from {RUN}", three),)
    if model != MODELS[0]:
        return history
    return (
        *history,
        release(
            2, "2013-07-08T10:00", "promote", "ada", "retrained on June", three, route(model, 2, "candidate", 0.01)
        ),
        release(
            3,
            "2013-07-08T22:00",
            "advance",
            "seakeep",
            "no worse on 812 pairs",
            three,
            route(model, 2, "candidate", 0.1),
        ),
        release(4, "2013-07-09T16:30", "rollback", "seakeep", "log-loss worse on the same traffic", three),
        release(5, "2013-07-24T00:00", "promote", "ada", "weather repaired", three, route(model, 4, "candidate", 0.1)),
    )


class SimulatedSource:
    """Pages over simulated traffic; move ``clock`` to let more of it happen."""

    def __init__(self) -> None:
        self.clock = FixedClock(parse_moment("2013-07-30T18:00"))
        self.traffic = {name: Traffic(7 + k, fails=k == 0) for k, name in enumerate(MODELS)}

    def now(self) -> NowPage:
        now_us = self.clock.now_us()
        from_us = now_us - DAY_US
        rows = tuple(self._row(name, from_us, now_us) for name in MODELS)
        return NowPage(now_us=now_us, from_us=from_us, to_us=now_us, models=rows, receipts=(self._receipt(MODELS[0]),))

    def _row(self, name: str, from_us: int, to_us: int) -> ModelRow:
        windows = traffic_windows(self._seen(name), from_us, to_us, HOUR_US)
        latest = self.traffic[name].quality(from_us, to_us, to_us)
        table = self._seen(name).select(self.traffic[name].between(from_us, to_us))
        newest = releases(name)[-1]
        return ModelRow(
            name=name,
            verdict=self._verdict(name),
            predictions=sum(w.predictions for w in windows),
            errors=sum(w.errors for w in windows),
            p99_ms=float(np.percentile(table.total_us, 99)) / 1_000 if len(table) else 0.0,
            alert_rate=latest.estimated["alert_rate"],
            quality_metric="recall",
            estimated=latest.estimated.get("recall"),
            realised=latest.realised.get("recall"),
            champion=newest.champion,
            candidate=newest.candidate,
            rollout=self._rollout(name),
            recent=windows,
        )

    def _seen(self, name: str) -> PredictionTable:
        return self.traffic[name].table.select(self.traffic[name].between(0, self.clock.now_us()))

    def _known(self, name: str) -> None:
        if name not in MODELS:
            raise NotFoundError(f"no model is called {name!r}", hint=f"known: {', '.join(MODELS)}")

    def _verdict(self, name: str) -> Verdict:
        now_us = self.clock.now_us()
        then = self.traffic[name].quality(START_US, BROKEN_US, now_us)
        now = self.traffic[name].quality(BROKEN_US, now_us, now_us)
        alerts, base, recall = (now.estimated["alert_rate"], now.realised["base_rate"], now.realised["recall"])
        was_alerts, was_base, was_recall = (
            then.estimated["alert_rate"],
            then.realised["base_rate"],
            then.realised["recall"],
        )
        numbers = {
            "alert_rate_before": was_alerts,
            "alert_rate_now": alerts,
            "base_rate_before": was_base,
            "base_rate_now": base,
            "recall_before": was_recall,
            "recall_now": recall,
        }
        failing = recall.high < was_recall.low
        sentence = "Alerts fell from {:.1%} to {:.1%}, yet lateness did not: the model no longer sees it."
        return Verdict(
            cause="model-failing" if failing else "nothing",
            confidence=0.97 if failing else 0.91,
            headline=sentence.format(was_alerts.value, alerts.value)
            if failing
            else "Nothing moved beyond its own noise.",
            evidence=(
                f"The base rate went from {was_base.value:.3f} to {base.value:.3f} ({now.labelled} labels).",
                f"Recall went from {was_recall.value:.2f} to {recall.value:.2f}; the intervals do not overlap.",
                f"{name}:3 is the version of {RUN}; it has not changed.",
            )
            if failing
            else (),
            numbers=numbers if failing else {},
        )

    def _rollout(self, name: str) -> Rollout | None:
        newest = releases(name)[-1]
        if newest.candidate is None:
            return None
        seen = self._seen(name)
        pairs = int((seen.role == "canary").sum())
        return Rollout(
            champion=3,
            candidate=newest.candidate.version,
            started_us=newest.from_us,
            weight=newest.candidate.weight,
            stages=(0.01, 0.1, 0.5, 1.0),
            pairs=pairs,
            pairs_needed=2_000,
            evidence=(f"On {pairs} pairs the candidate's scores differ by 0.021 on average.",),
        )

    def _receipt(self, name: str) -> Receipt:
        started, ended = parse_moment("2013-07-08T10:00"), parse_moment("2013-07-09T16:30")
        rows = self.traffic[name].table.select(self.traffic[name].between(started, ended))
        return Receipt(
            model=name,
            champion=3,
            candidate=2,
            outcome="rolled-back",
            reason="log-loss worse than the champion's on the same traffic",
            started_us=started,
            ended_us=ended,
            requests=len(rows),
            failed=int((rows.error != "").sum()),
            answered_by_candidate=len(rows) // 10,
            detect_s=(ended - started) / MICROSECONDS,
            switch_s=0.018,
            evidence=("Log-loss 0.471 against 0.438 on 1,204 pairs; difference 0.033 (0.019 to 0.047).",),
        )

    def _gates(self, name: str, version: int) -> tuple[GateResult, ...]:
        auc = 0.70 + version / 100
        return (
            GateResult(
                gate="roc_auc",
                passed=auc >= 0.73,
                observed=f"{auc:.3f}",
                required="at least 0.730",
                evidence=f"run {RUN}",
            ),
            GateResult(
                gate="parity",
                passed=True,
                observed="2,640 rows equal",
                required="no flip",
                evidence=sha(f"{name}{version}"),
            ),
            GateResult(
                gate="latency",
                passed=True,
                observed="p99 0.4 ms",
                required="at most 5 ms",
                evidence=f"{name}:{version}",
            ),
        )

    def _findings(self, name: str) -> tuple[Finding, ...]:
        table = self._seen(name)
        found: list[Finding] = []
        for column, subject in enumerate(("carrier_recent.late_rate_24h", "wind_speed")):
            values = table.numbers[:, column]
            old = table.time_us < BROKEN_US
            before, now = float(np.nanmean(values[old])), float(np.nanmean(values[~old]))
            noise = float(np.nanstd(values[old])) / np.sqrt(24)
            found.append(
                Finding(
                    kind="drift",
                    subject=subject,
                    effect=(now - before) / noise,
                    p_value=0.0001 if abs(now - before) > noise else 0.41,
                    before=before,
                    now=now,
                    sentence=f"The mean of {subject} went from {before:.3f} to {now:.3f}.",
                )
            )
        return tuple(found)

    def _distributions(self, name: str) -> dict[str, Distribution]:
        table = self._seen(name)
        old = table.time_us < BROKEN_US
        made: dict[str, Distribution] = {}
        for column, subject in enumerate(("carrier_recent.late_rate_24h", "wind_speed")):
            values = table.numbers[:, column]
            edges = np.histogram_bin_edges(values[np.isfinite(values)], 16)
            before, now = (np.histogram(values[rows], edges)[0] for rows in (old, ~old))
            made[subject] = Distribution(
                bins=tuple(f"{low:.2f} to {high:.2f}" for low, high in itertools.pairwise(edges)),
                before=tuple((before / before.sum()).tolist()),
                now=tuple((now / max(now.sum(), 1)).tolist()),
            )
        return made

    def model(self, name: str, from_us: int | None, to_us: int | None) -> ModelPage:
        self._known(name)
        traffic, now_us = self.traffic[name], self.clock.now_us()
        to_us = now_us if to_us is None else to_us
        from_us = max(START_US, to_us - 30 * DAY_US) if from_us is None else from_us
        seen = self._seen(name)
        rows = seen.select(traffic.between(from_us, min(to_us, now_us)))
        windows = traffic_windows(seen, from_us, to_us, window_step(from_us, to_us))
        newest = releases(name)[-1]
        serving = tuple(self._serving(rows, route, newest.from_us) for route in newest.routes)
        days = range(from_us // DAY_US * DAY_US, min(to_us, now_us), DAY_US)
        alerts = wilson(int(rows.decision.sum()), int((rows.error == "").sum()))
        first = max(0, traffic.between(from_us, min(to_us, now_us)).stop - 12)
        stop = traffic.between(from_us, min(to_us, now_us)).stop
        return ModelPage(
            name=name,
            now_us=now_us,
            from_us=from_us,
            to_us=to_us,
            first_us=int(seen.time_us[0]),
            last_us=int(seen.time_us[-1]),
            verdict=self._verdict(name),
            action=f"roll {name} back, or retrain from {RUN} once the feed is mended" if name == MODELS[0] else "",
            predictions=len(rows),
            errors=int((rows.error != "").sum()),
            p99_ms=float(np.percentile(rows.total_us, 99)) / 1_000 if len(rows) else None,
            alert_rate=alerts,
            serving=serving,
            rollout=self._rollout(name),
            traffic=windows,
            quality=tuple(traffic.quality(day, day + DAY_US, now_us) for day in days),
            findings=self._findings(name) if name == MODELS[0] else (),
            distributions=self._distributions(name),
            releases=releases(name),
            released_us=tuple(release.from_us for release in releases(name)),
            gates={
                f"{name}:{version}": self._gates(name, version) for version in ((3, 4) if newest.candidate else (3,))
            },
            receipts=(self._receipt(name),) if name == MODELS[0] else (),
            recent=tuple(self.prediction_row(k, name) for k in reversed(range(first, stop))),
        )

    def prediction_row(self, position: int, name: str) -> PredictionRow:
        return prediction_row(self.traffic[name].record(position, name))

    def _serving(self, rows: PredictionTable, route: Route, since_us: int) -> Serving:
        mine = rows.select(rows.version == route.version)
        return Serving(
            route=route,
            since_us=since_us,
            answered=len(mine),
            shadowed=int(((rows.version != route.version) & (rows.time_us >= since_us)).sum()),
            p99_ms=float(np.percentile(mine.total_us, 99)) / 1_000 if len(mine) else None,
            alert_rate=wilson(int(mine.decision.sum()), len(mine)),
        )

    def prediction(self, id: str) -> PredictionPage:
        for name, traffic in self.traffic.items():
            found = np.flatnonzero(traffic.table.id == id)
            if len(found):
                record = traffic.record(int(found[0]), name)
                known_us = record.time_us + LABEL_DELAY_US
                return PredictionPage(
                    row=prediction_row(record),
                    bundle=record.bundle,
                    principal=record.principal,
                    pair=record.pair,
                    threshold=0.31,
                    request=record.request,
                    features=feature_values(record, COLUMNS, ("carrier_recent",)),
                    stages=stages(record),
                    outcome=Outcome(value=bool(traffic.outcome[found[0]]), known_us=known_us)
                    if known_us < self.clock.now_us()
                    else None,
                    reexecution=Reexecution(
                        result="not-run", score=None, detail="The simulated model has no bundle to execute."
                    )
                    if record.error
                    else Reexecution(
                        result="equal", score=record.score, detail=f"{name}:{record.version} on this host."
                    ),
                )
        raise NotFoundError(f"no prediction has the id {id!r}", hint="ids are on the model's page")

    def run(self, id: str) -> RunPage:
        if id != RUN:
            raise NotFoundError(f"no run has the id {id!r}")
        traffic = self.traffic[MODELS[0]].quality(START_US, BROKEN_US, END_US)
        arrivals = Events("arrivals", time="landed", key="flight_id")
        view = FeatureView(
            "carrier_recent", arrivals, "carrier", {"late_rate": mean(col("arr_delay") > 15, over=["24h"])}
        )
        definition = ModelDefinition(
            name=MODELS[0],
            request=Events("flights", time="scheduled", key="flight_id"),
            views=(view,),
            request_features={"wind_speed": col("wind_speed")},
            label=Label(arrivals, col("arr_delay") > 15, "6h"),
            decision=TopShare(0.1),
            columns=COLUMNS,
        )
        run = Run(
            id=RUN,
            model=MODELS[0],
            started_us=parse_moment("2013-06-19T08:00"),
            seconds=41.2,
            seed=7,
            as_of_us=parse_moment("2013-06-01"),
            validate_from_us=parse_moment("2013-05-01"),
            dataset=sha("dataset"),
            code={"project.py": sha("project")},
            definition=definition,
            definition_digest=sha("definition"),
            environment=Environment(python="3.11.7", platform="Linux", cpu="x86_64", packages={"numpy": "2.4.6"}),
            rows_trained=len(self.traffic[MODELS[0]].table),
            rows_validated=traffic.labelled,
            threshold=0.31,
            metrics=traffic.realised,
            baselines={"constant": {"base_rate": traffic.realised["base_rate"]}},
            paired={"constant": Metric(value=-0.06, low=-0.07, high=-0.05)},
            slices={"carrier": {"UA": traffic.realised}},
            artefact=sha("artefact"),
            warnings=("2 % of carrier_recent.late_rate_24h is missing.",),
        )
        return RunPage(run=run, versions=(self._version(MODELS[0], 3),))

    def _version(self, name: str, number: int) -> Version:
        return Version(
            model=name,
            number=number,
            bundle=sha(f"{name}:{number}"),
            run=RUN,
            created_us=parse_moment("2013-06-19T09:00"),
            author="ada",
            threshold=0.31,
        )

    def version(self, ref: str) -> VersionPage:
        parsed = parse_reference(ref)
        self._known(parsed.model)
        number = parsed.number or 3
        proof = ParityProof(
            passed=True,
            cases={"validation": 2_000, "boundaries": 612, "missing": 28},
            max_difference=3.3e-16,
            flips=0,
            nan_mismatches=0,
            error_mismatches=0,
            tolerance=1e-12,
            batch_sizes=(1, 7, 64),
            worst={},
            versions={"onnxruntime": "1.32"},
            model_sha256=sha("model"),
            artefact_sha256=sha("artefact"),
            digest=sha("proof"),
        )
        took_part = tuple(r for r in releases(parsed.model) if any(route.version == number for route in r.routes))
        return VersionPage(
            version=self._version(parsed.model, number),
            parity=proof,
            gates=self._gates(parsed.model, number),
            route=next((one for one in releases(parsed.model)[-1].routes if one.version == number), None),
            releases=took_part,
            receipts=(self._receipt(parsed.model),) if number == 2 else (),
        )
