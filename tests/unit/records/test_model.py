import msgspec
import pytest

from seakeep.records import gate
from seakeep.records.expression import Column, Constant, col
from seakeep.records.feature import FeatureView, RequestFeatures, count, latest, mean, total
from seakeep.records.gate import Gate, SliceGate
from seakeep.records.model import AlertBudget, Canary, Label, Model, ModelDefinition, Threshold, TopShare
from seakeep.records.source import Events

FLIGHTS = Events("flights", time="scheduled", key="flight_id")
ARRIVALS = Events("arrivals", time="landed", delay="15m")
VIEW = FeatureView("carrier", ARRIVALS, "carrier", {"late": mean(col("delay") > 15, over=["1h", "7d"])})


def model(**changes):
    declared = {
        "on": FLIGHTS,
        "features": [RequestFeatures(hour=col("scheduled").dt.hour()), VIEW, RequestFeatures(distance="distance")],
        "label": Label(ARRIVALS, col("delay") > 15, delay="6h"),
        "train": len,
    }
    return Model("late", **{**declared, **changes})


def test_a_declaration_needs_only_what_has_no_good_default():
    declared = model()
    assert declared.name == "late"
    assert declared.gates == ()
    assert declared.rollout.stages[-1] == 1.0
    assert declared.alerts.per_week == 1
    assert declared.definition.decision == Threshold(0.5)


def test_what_is_declared_is_kept():
    declared = model(
        decision=TopShare(0.1), gates=[gate.parity()], rollout=Canary([1.0]), alerts=AlertBudget(per_week=0)
    )
    assert declared.definition.decision == TopShare(0.1)
    assert declared.gates == (gate.parity(),)
    assert declared.rollout.stages == [1.0]
    assert declared.alerts == AlertBudget(per_week=0)


def test_request_features_are_gathered_and_views_keep_their_order():
    definition = model().definition
    assert list(definition.request_features) == ["hour", "distance"]
    assert isinstance(definition.request_features["distance"], Column)
    assert definition.views == (VIEW,)


def test_a_model_takes_no_stray_attributes():
    with pytest.raises(AttributeError):
        model().thresold = 0.3


def test_a_definition_survives_its_travel_as_json():
    encoded = msgspec.json.encode(model(decision=TopShare(0.1)).definition)
    assert msgspec.json.encode(msgspec.json.decode(encoded, type=ModelDefinition)) == encoded


@pytest.mark.parametrize(
    ("aggregation", "function", "windows"),
    [
        (mean("x", over=["1h", "7d"]), "mean", ("1h", "7d")),
        (total(col("x"), over=["1h"]), "sum", ("1h",)),
        (latest("x", within="3h"), "latest", ("3h",)),
    ],
)
def test_an_aggregation_says_what_over_which_windows(aggregation, function, windows):
    assert (aggregation.function, aggregation.windows, aggregation.value.name) == (function, windows, "x")


def test_counting_needs_no_column():
    assert isinstance(count(over=["1h"]).value, Constant)


@pytest.mark.parametrize("value", [None, 3, 2.5, ["x"]])
def test_a_feature_is_an_expression(value):
    for make in (
        lambda: mean(value, over=["1h"]),
        lambda: latest(value, within="1h"),
        lambda: RequestFeatures(a=value),
    ):
        with pytest.raises(TypeError, match="is not an expression"):
            make()


def test_delays_are_read_in_microseconds():
    assert ARRIVALS.delay_us == 900_000_000
    assert FLIGHTS.delay_us == 0
    assert model().definition.label.delay_us == 21_600_000_000
    with pytest.raises(ValueError, match="'soon' is not a duration"):
        _ = Events("e", time="t", delay="soon").delay_us


def test_gates_are_told_apart_when_they_travel():
    gates = (
        gate.metric("roc_auc", at_least=0.7),
        gate.better_than_baselines(),
        gate.no_worse_than_champion(margin=0.01),
        gate.slices("carrier", metric="recall", at_least=0.2, min_rows=10),
        gate.latency(p99_ms=5),
        gate.parity(),
    )
    assert msgspec.json.decode(msgspec.json.encode(gates), type=tuple[Gate, ...]) == gates
    assert gate.slices("carrier") == SliceGate(column="carrier", metric="roc_auc", at_least=0.5, min_rows=500)
