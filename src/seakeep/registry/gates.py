"""Judges a version by its gates: pure, from evidence alone.

A gate without evidence has failed. Limits are compared with the measured value, not with an end of its interval: a
limit says what is good enough, and its owner set it knowing the value, while an interval's width says how many rows
there were; the interval is shown beside it. Comparisons with other models ask for certainty, by the interval of the
paired difference, because there the question is whether a difference is there at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from seakeep.records.gate import (
    BaselineGate,
    ChampionGate,
    Gate,
    GateResult,
    LatencyGate,
    MetricGate,
    ParityGate,
    SliceGate,
)
from seakeep.records.run import Metric
from seakeep.registry.evidence import Evidence


def judge(gates: Sequence[Gate], evidence: Evidence) -> tuple[GateResult, ...]:
    """One result for each gate, in their order."""
    return tuple(_judge(gate, evidence) for gate in gates)


def _judge(gate: Gate, evidence: Evidence) -> GateResult:
    match gate:
        case MetricGate():
            return _metric(gate, evidence)
        case BaselineGate():
            return _baselines(evidence)
        case ChampionGate():
            return _champion(gate, evidence)
        case SliceGate():
            return _slices(gate, evidence)
        case LatencyGate():
            return _latency(gate, evidence)
        case ParityGate():
            return _parity(evidence)


def _metric(gate: MetricGate, evidence: Evidence) -> GateResult:
    found = evidence.run.metrics.get(gate.metric)
    return GateResult(
        gate=gate.metric,
        passed=found is not None and _within(found.value, gate),
        observed=_told(found) if found else "not measured",
        required=_limits(gate) or "measured",
        evidence=f"run {evidence.run.id}",
    )


def _baselines(evidence: Evidence) -> GateResult:
    paired = evidence.run.paired
    parts = [f"{name} {_signed(difference)}" for name, difference in paired.items()]
    return GateResult(
        gate="baselines",
        passed=bool(paired) and all(difference.high < 0 for difference in paired.values()),
        observed=f"{_loss(evidence)} against {', '.join(parts)}" if paired else "not measured",
        required="below 0 with 95 % confidence against each",
        evidence=f"run {evidence.run.id}",
    )


def _champion(gate: ChampionGate, evidence: Evidence) -> GateResult:
    against = evidence.champion
    required = f"not above {gate.margin:g} with 95 % confidence"
    if against is None:
        return GateResult(
            gate="champion", passed=True, observed="no champion to compare with", required=required,
            evidence=f"run {evidence.run.id}",
        )  # fmt: skip
    if against.paired is None:
        observed = f"{against.champion} cannot be compared: {against.obstacle}"
    else:
        observed = f"{_loss(evidence)} against {against.champion} {_signed(against.paired)} on {against.rows:,} rows"
    return GateResult(
        gate="champion",
        passed=against.paired is not None and against.paired.high <= gate.margin,
        observed=observed,
        required=required,
        evidence=f"run {evidence.run.id} and version {against.champion} on the same rows",
    )


def _slices(gate: SliceGate, evidence: Evidence) -> GateResult:
    slices = evidence.run.slices.get(gate.column, {})
    large = {value: metrics for value, metrics in slices.items() if metrics["rows"].value >= gate.min_rows}
    found = {value: metrics[gate.metric] for value, metrics in large.items() if gate.metric in metrics}
    ordered = sorted(found, key=lambda value: found[value].value)
    outside = [value for value in ordered if not _within(found[value].value, gate)]
    worst = (outside or ordered or [""])[0 if gate.at_most is None else -1]
    told = [f"worst of {len(found)}: {worst!r} {_told(found[worst])}"] if found else []
    told += [f"not measured in {value!r}" for value in sorted(large.keys() - found.keys())]
    return GateResult(
        gate=f"slices:{gate.column}",
        passed=bool(found) and len(found) == len(large) and not outside,
        observed="; ".join(told) or "no slice is large enough",
        required=f"{gate.metric} {_limits(gate)} in each with {gate.min_rows:,} rows",
        evidence=f"run {evidence.run.id}",
    )


def _within(value: float, gate: MetricGate | SliceGate) -> bool:
    return (gate.at_least is None or value >= gate.at_least) and (gate.at_most is None or value <= gate.at_most)


def _limits(gate: MetricGate | SliceGate) -> str:
    limits = (("at least", gate.at_least), ("at most", gate.at_most))
    return " and ".join(f"{words} {limit:g}" for words, limit in limits if limit is not None)


def _latency(gate: LatencyGate, evidence: Evidence) -> GateResult:
    found = evidence.latency
    return GateResult(
        gate="latency",
        passed=found is not None and found.p99_us <= gate.p99_ms * 1_000,
        observed=(
            f"p99 {found.p99_us / 1_000:.3f} ms, p50 {found.p50_us / 1_000:.3f} ms over {found.rows:,} rows"
            if found
            else "not measured"
        ),
        required=f"p99 at most {gate.p99_ms:g} ms",
        evidence=f"single-row inference of {evidence.run.id}",
    )


def _parity(evidence: Evidence) -> GateResult:
    proof = evidence.proof
    return GateResult(
        gate="parity",
        passed=proof is not None and proof.passed,
        observed=(
            f"largest difference {proof.max_difference:.1e}, {proof.flips} decisions differ, "
            f"{sum(proof.cases.values()):,} rows"
            if proof
            else "no proof"
        ),
        required=f"at most {proof.tolerance:.0e} and no decision differs" if proof else "a proof",
        evidence=f"proof {proof.digest[:12]}" if proof else "none",
    )


def _loss(evidence: Evidence) -> str:
    """What the differences of a run are of."""
    return "squared error, as a share," if evidence.run.definition.label.outputs.kind == "value" else "log-loss"


def _told(metric: Metric) -> str:
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def _signed(metric: Metric) -> str:
    return f"{metric.value:+.4f} ({metric.low:+.4f} to {metric.high:+.4f})"
