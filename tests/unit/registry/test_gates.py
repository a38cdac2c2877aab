import math

import msgspec
import pytest
from tests.registering import metric, proof, run

from seakeep.conversion.latency import LatencyEvidence
from seakeep.records import gate
from seakeep.records.run import Metric
from seakeep.registry.evidence import ChampionEvidence, Evidence
from seakeep.registry.gates import judge


def evidence(**changes):
    parts = {name: changes.pop(name) for name in ("proof", "latency", "champion") if name in changes}
    return Evidence(run=run(**changes), **parts)


def judged(declared, **changes):
    (result,) = judge([declared], evidence(**changes))
    return result


def exactly(value):
    return Metric(value=value, low=value, high=value)


def rows(count, **metrics):
    return {"rows": exactly(float(count)), **{name: metric(value) for name, value in metrics.items()}}


def test_there_is_one_result_for_each_gate_in_order():
    gates = [gate.parity(), gate.latency(p99_ms=5), gate.metric("roc_auc", at_least=0.7), gate.slices("carrier")]
    gates += [gate.no_worse_than_champion(), gate.better_than_baselines()]
    names = [one.gate for one in judge(gates, evidence())]
    assert names == ["parity", "latency", "roc_auc", "slices:carrier", "champion", "baselines"]
    assert judge([], evidence()) == ()


@pytest.mark.parametrize(
    "declared",
    [
        gate.metric("roc_auc", at_least=0.0),
        gate.metric("roc_auc"),
        gate.better_than_baselines(),
        gate.slices("carrier", at_least=0.0, min_rows=1),
        gate.slices("nothing", at_least=0.0, min_rows=1),
        gate.latency(p99_ms=1e9),
        gate.parity(),
    ],
)
def test_a_gate_without_evidence_has_failed(declared):
    assert not judged(declared, metrics={}, paired={}, slices={"carrier": {}}).passed


def test_judging_is_pure():
    gates, shown = [gate.metric("roc_auc", at_least=0.7), gate.parity()], evidence(proof=proof())
    before = msgspec.json.encode(shown)
    assert judge(gates, shown) == judge(gates, shown)
    assert msgspec.json.encode(shown) == before


@pytest.mark.parametrize(
    ("limits", "value", "passed"),
    [
        ({"at_least": 0.7}, 0.7, True),
        ({"at_least": 0.7}, math.nextafter(0.7, 0), False),
        ({"at_most": 0.7}, 0.7, True),
        ({"at_most": 0.7}, math.nextafter(0.7, 1), False),
        ({"at_least": 0.1, "at_most": 0.2}, 0.15, True),
        ({"at_least": 0.1, "at_most": 0.2}, 0.05, False),
        ({"at_least": 0.1, "at_most": 0.2}, 0.25, False),
        ({"at_least": -1.0}, 0.0, True),
        ({"at_least": 0.0}, -0.0, True),
        ({"at_most": 0.0}, 0.1, False),
        ({"at_least": 0.0}, math.nan, False),
        ({"at_most": 0.0}, math.nan, False),
        ({}, 0.3, True),
    ],
)
def test_a_metric_is_held_against_its_limits_by_its_value(limits, value, passed):
    assert judged(gate.metric("x", **limits), metrics={"x": metric(value, 0.5)}).passed is passed


def test_a_metrics_result_tells_value_interval_and_limits():
    found = judged(gate.metric("roc_auc", at_least=0.7, at_most=0.9), metrics={"roc_auc": metric(0.751, 0.02)})
    assert (found.observed, found.required) == ("0.751 (0.731 to 0.771)", "at least 0.7 and at most 0.9")
    assert found.evidence == f"run {run().id}"
    assert judged(gate.metric("recall", at_least=0.7)).observed == "not measured"


@pytest.mark.parametrize(
    ("paired", "passed"),
    [
        ({"constant": metric(-0.2), "linear": metric(-0.02, 0.01)}, True),
        ({"constant": metric(-0.2), "linear": metric(-0.02, 0.03)}, False),
        ({"constant": metric(0.2), "linear": metric(-0.2)}, False),
        ({"linear": Metric(value=-0.1, low=-0.2, high=0.0)}, False),
        ({"linear": Metric(value=-0.1, low=-0.2, high=math.nan)}, False),
        ({"linear": metric(-0.2)}, True),
    ],
)
def test_every_baseline_must_be_beaten_beyond_doubt(paired, passed):
    assert judged(gate.better_than_baselines(), paired=paired).passed is passed


def test_the_result_tells_each_difference_with_its_sign():
    found = judged(gate.better_than_baselines(), paired={"constant": metric(-0.2, 0.05), "linear": metric(0.01)})
    assert found.observed == (
        "log-loss against constant -0.2000 (-0.2500 to -0.1500), linear +0.0100 (+0.0000 to +0.0200)"
    )


def against(paired, **changes):
    return ChampionEvidence(champion="late:1", rows=1_200, paired=paired, **changes)


@pytest.mark.parametrize(
    ("paired", "margin", "passed"),
    [
        (metric(-0.1), 0.0, True),
        (metric(0.005, 0.01), 0.0, False),
        (metric(0.005, 0.01), 0.016, True),
        (metric(0.02, 0.01), 0.025, False),
        (Metric(value=-0.1, low=-0.2, high=0.0), 0.0, True),
        (Metric(value=-0.1, low=-0.2, high=5e-324), 0.0, False),
        (Metric(value=0.0, low=-0.5, high=0.5), 0.01, False),
        (exactly(math.nan), 0.0, False),
    ],
)
def test_a_model_must_be_shown_to_be_within_the_margin_of_the_champion(paired, margin, passed):
    result = judged(gate.no_worse_than_champion(margin=margin), champion=against(paired))
    assert result.passed is passed
    assert "late:1" in result.observed
    assert "1,200 rows" in result.observed
    assert "version late:1" in result.evidence


def test_without_a_champion_there_is_nothing_to_be_worse_than():
    result = judged(gate.no_worse_than_champion())
    assert (result.passed, result.observed) == (True, "no champion to compare with")


def test_a_champion_that_cannot_be_compared_is_an_obstacle():
    result = judged(gate.no_worse_than_champion(), champion=against(None, obstacle="the rows lack its inputs wind"))
    assert not result.passed
    assert result.observed == "late:1 cannot be compared: the rows lack its inputs wind"


SLICES = {"AA": rows(500, roc_auc=0.8), "UA": rows(700, roc_auc=0.6), "few": rows(499, roc_auc=0.1)}


@pytest.mark.parametrize(("floor", "passed"), [(0.6, True), (0.601, False)])
def test_the_worst_slice_of_those_that_are_large_decides(floor, passed):
    result = judged(gate.slices("carrier", at_least=floor, min_rows=500), slices={"carrier": SLICES})
    assert result.passed is passed
    assert result.observed == "worst of 2: 'UA' 0.600 (0.590 to 0.610)"
    assert result.required == f"roc_auc at least {floor:g} in each with 500 rows"


def test_slices_that_are_all_too_small_are_no_evidence():
    result = judged(gate.slices("carrier", min_rows=701), slices={"carrier": SLICES})
    assert (result.passed, result.observed) == (False, "no slice is large enough")


def test_a_large_slice_in_which_the_metric_was_not_measured_is_not_passed_over():
    slices = {"carrier": {**SLICES, "DL": rows(900, precision=1.0)}}
    result = judged(gate.slices("carrier", at_least=0.1), slices=slices)
    assert not result.passed
    assert result.observed == "worst of 2: 'UA' 0.600 (0.590 to 0.610); not measured in 'DL'"
    assert judged(gate.slices("carrier", at_least=0.1, min_rows=901), slices=slices).passed is False
    only = judged(gate.slices("carrier"), slices={"carrier": {"DL": rows(900)}})
    assert (only.passed, only.observed) == (False, "not measured in 'DL'")


@pytest.mark.parametrize(("p99_us", "passed"), [(4_999.0, True), (5_000.0, True), (5_000.1, False), (math.nan, False)])
def test_the_latency_is_held_against_its_limit(p99_us, passed):
    result = judged(gate.latency(p99_ms=5), latency=LatencyEvidence(rows=2_000, p50_us=40.0, p99_us=p99_us))
    assert result.passed is passed
    assert "p50 0.040 ms over 2,000 rows" in result.observed


def test_a_proof_decides_parity():
    passed, failed = (judged(gate.parity(), proof=proof(passed=one)) for one in (True, False))
    assert (passed.passed, failed.passed) == (True, False)
    assert passed.observed == "largest difference 1.0e-15, 0 decisions differ, 130 rows"
    assert passed.evidence == f"proof {proof().digest[:12]}"
    assert judged(gate.parity()).observed == "no proof"


def test_a_slice_may_have_a_ceiling():
    slices = {"zone": {"near": rows(600, rmse=4.0), "far": rows(600, rmse=9.0)}}
    for limit, passed in ((10, True), (9, True), (8, False)):
        found = judged(gate.slices("zone", metric="rmse", at_most=limit), slices=slices)
        assert found.passed is passed
        assert found.observed.startswith("worst of 2: 'far' 9.000")
        assert found.required == f"rmse at most {limit} in each with 500 rows"
    assert "'near'" in judged(gate.slices("zone", metric="rmse", at_least=5), slices=slices).observed


@pytest.mark.parametrize(
    ("values", "passed", "worst"), [((0.5, 0.7), True, ""), ((0.1, 0.7), False, "near"), ((0.5, 0.95), False, "far")]
)
def test_slices_may_have_a_floor_and_a_ceiling(values, passed, worst):
    slices = {
        "zone": {
            name: {"recall": Metric(value=value, low=value, high=value), **rows(900)}
            for name, value in zip(("near", "far"), values, strict=True)
        }
    }
    found = judged(gate.slices("zone", metric="recall", at_least=0.3, at_most=0.9), slices=slices)
    assert (found.passed, worst in found.observed) == (passed, True)
    assert "recall at least 0.3 and at most 0.9 in each" in found.required
