"""Builds runs, versions, releases and the stores that keep them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from seakeep.alerting.store import PageStore
from seakeep.backends.sql import (
    Database,
    SqlAudit,
    SqlGates,
    SqlKeys,
    SqlPages,
    SqlReceipts,
    SqlReleases,
    SqlRuns,
    SqlVersions,
)
from seakeep.clock import Clock, FixedClock
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn
from seakeep.records.finding import Page
from seakeep.records.gate import GateResult
from seakeep.records.model import Label, ModelDefinition, Threshold
from seakeep.records.release import Receipt, Release, Route
from seakeep.records.run import Environment, Metric, Run
from seakeep.records.source import Events
from seakeep.records.version import ParityProof, Version
from seakeep.registry.promotion import Promotion
from seakeep.registry.store import AuditStore, GateStore, ReceiptStore, ReleaseStore, VersionStore
from seakeep.security.audit import verify, verify_records
from seakeep.security.keys import KeyRecord, KeyStore
from seakeep.training.store import RunStore

NOW_US = 1_700_000_000_000_000
ONNX = b"stands for a model"
PASSED = (GateResult(gate="parity", passed=True, observed="equal", required="equal", evidence="proof"),)
FAILED = (GateResult(gate="roc_auc", passed=False, observed="0.610", required="at least 0.7", evidence="run r-1"),)


def digest(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def written(value: Any) -> bytes:
    """To compare records that hold expressions, which have no truth value."""
    return msgspec.json.encode(value)


def metric(value: float, spread: float = 0.01) -> Metric:
    return Metric(value=value, low=value - spread, high=value + spread)


def definition(name: str = "late") -> ModelDefinition:
    flights = Events("flights", time="scheduled", key="flight_id")
    return ModelDefinition(
        name=name,
        request=flights,
        views=(),
        request_features={"distance": col("distance")},
        label=Label(flights, col("delay") > 15),
        decision=Threshold(0.5),
        columns=(FeatureColumn(name="distance", kind="number"),),
    )


def run(run_id: str = "r-000000000001", **changes: Any) -> Run:
    one = Run(
        id=run_id,
        model="late",
        started_us=NOW_US,
        seconds=1.5,
        seed=0,
        as_of_us=NOW_US,
        validate_from_us=NOW_US - 1_000,
        dataset=digest("dataset"),
        code={"project.py": digest("code")},
        definition=definition(),
        definition_digest=digest("definition"),
        environment=Environment(
            python="3.11.7", platform="linux", cpu="x86", packages={"numpy": "2.1.0", "onnx": "1.18.0"}
        ),
        rows_trained=900,
        rows_validated=100,
        threshold=0.5,
        metrics={"roc_auc": metric(0.75), "log_loss": metric(0.4)},
        baselines={"constant": {"log_loss": metric(0.6)}},
        paired={"constant": metric(-0.2), "linear": metric(-0.1)},
        slices={"carrier": {}},
        artefact=digest("estimator"),
    )
    return msgspec.structs.replace(one, **changes)


def proof(model: bytes = ONNX, **changes: Any) -> ParityProof:
    one = ParityProof(
        passed=True,
        cases={"validation": 100, "boundaries": 30},
        max_difference=1e-15,
        flips=0,
        nan_mismatches=0,
        error_mismatches=0,
        tolerance=1e-12,
        batch_sizes=(1, 64),
        worst={},
        versions={"onnxruntime": "1.22.0"},
        model_sha256=hashlib.sha256(model).hexdigest(),
        artefact_sha256=digest("estimator"),
        digest=digest("proof"),
    )
    return msgspec.structs.replace(one, **changes)


def version(number: int = 0, **changes: Any) -> Version:
    one = Version(
        model="late",
        number=number,
        bundle=digest(f"bundle {number}"),
        run=f"r-{number}",
        created_us=NOW_US,
        author="ada",
        threshold=0.5,
    )
    return msgspec.structs.replace(one, **changes)


def route(number: int, role: str = "champion", weight: float = 1.0, model: str = "late") -> Route:
    return Route(model=model, version=number, bundle=digest(f"bundle {number}"), role=role, weight=weight)


def release(revision: int = 1, *routes: Route, **changes: Any) -> Release:
    one = Release(
        model="late",
        revision=revision,
        from_us=NOW_US + revision,
        action="promote",
        actor="ada",
        reason="asked for",
        routes=routes or (route(revision),),
    )
    return msgspec.structs.replace(one, **changes)


def receipt(started_us: int = NOW_US, **changes: Any) -> Receipt:
    one = Receipt(
        model="late",
        champion=1,
        candidate=2,
        outcome="rolled-back",
        reason="slower",
        started_us=started_us,
        ended_us=started_us + 5,
        requests=1_000,
        failed=0,
        answered_by_candidate=12,
        detect_s=2.5,
        switch_s=0.05,
        evidence=("p99 9.0 ms against 2.0 ms",),
    )
    return msgspec.structs.replace(one, **changes)


def page(time_us: int = NOW_US, **changes: Any) -> Page:
    one = Page(model="late", version=1, time_us=time_us, reasons=("3 % of requests failed",), action="roll back")
    return msgspec.structs.replace(one, **changes)


def key(name: str = "ci", **changes: Any) -> KeyRecord:
    one = KeyRecord(name=name, role="client", created_us=NOW_US, digest=digest(f"secret of {name}"))
    return msgspec.structs.replace(one, **changes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """Everything that is kept in one place, by its ports."""

    runs: RunStore
    versions: VersionStore
    gates: GateStore
    releases: ReleaseStore
    receipts: ReceiptStore
    pages: PageStore
    keys: KeyStore
    audit: AuditStore
    close: Callable[[], None]

    def promotion(self, clock: Clock | None = None) -> Promotion:
        return Promotion(self.releases, clock=clock or FixedClock(NOW_US))

    def verified(self) -> list[str]:
        """The actions of the audit log, after it was verified against the whole state."""
        entries, records = self.audit.evidence()
        verify(entries)
        verify_records(entries, records)
        return [entry.action for entry in entries]


def open_sqlite(folder: Path, clock: Clock | None = None) -> State:
    database = Database(folder / "state.db", clock=clock or FixedClock(NOW_US))
    return State(
        runs=SqlRuns(database),
        versions=SqlVersions(database),
        gates=SqlGates(database),
        releases=SqlReleases(database),
        receipts=SqlReceipts(database),
        pages=SqlPages(database),
        keys=SqlKeys(database),
        audit=SqlAudit(database),
        close=database.close,
    )


STATES = {"sqlite": open_sqlite}
"""How to open the state, by backend: every test of a port runs over each."""


def fill(state: State) -> None:
    """One change of each kind."""
    state.runs.add(run(), actor="ada")
    state.versions.add(version(1), actor="ada", now_us=NOW_US)
    state.gates.put("late", 1, PASSED, actor="ada", now_us=NOW_US)
    state.releases.append(release(1), details={"gates": "parity: passed"})
    state.receipts.add_receipt(receipt())
    state.pages.add(page())
    state.keys.add(key(), actor="ada")
    state.keys.revoke("ci", actor="ada", now_us=NOW_US + 1)
