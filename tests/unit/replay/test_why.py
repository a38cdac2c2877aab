import math

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.recording import NOW_US, prediction
from tests.registering import proof

from seakeep.conversion.session import ScoringSession
from seakeep.errors import IntegrityError, RecorderError
from seakeep.records.expression import as_node, col
from seakeep.records.feature import FeatureColumn, FeatureView, mean
from seakeep.records.model import Label, ModelDefinition, Threshold
from seakeep.records.source import ColumnSchema, Events
from seakeep.replay.why import Component, bits, environment_of, named_features, reexecute

FLIGHTS = Events("flights", time="scheduled", key="flight_id")
ARRIVALS = Events("arrivals", time="landed", key="flight_id")
DEFINITION = ModelDefinition(
    name="late-arrival",
    request=FLIGHTS,
    views=(FeatureView("carrier", ARRIVALS, "carrier", {"delay": mean("arr_delay", over=["24h"])}),),
    request_features={"distance": col("distance"), "origin": col("origin"), "dest": col("dest")},
    label=Label(ARRIVALS, col("arr_delay") > 30),
    decision=Threshold(),
    columns=(
        FeatureColumn(name="carrier.delay_24h", kind="number", view="carrier"),
        FeatureColumn(name="origin", kind="category"),
        FeatureColumn(name="distance", kind="number"),
        FeatureColumn(name="dest", kind="category"),
        FeatureColumn(name="load", kind="number"),
    ),
)
BUNDLE = prediction().bundle


@pytest.fixture(scope="module")
def session() -> ScoringSession:
    """A logistic model over three numbers, in double precision."""
    weights = numpy_helper.from_array(np.array([0.3, -1e-3, 0.7]), "weights")
    shape = numpy_helper.from_array(np.array([-1], dtype=np.int64), "shape")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["numbers", "weights"], ["margin"]),
            helper.make_node("Sigmoid", ["margin"], ["probability"]),
            helper.make_node("Reshape", ["probability", "shape"], ["score"]),
        ],
        "logistic",
        [helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["n", 3])],
        [helper.make_tensor_value_info("score", TensorProto.DOUBLE, ["n"])],
        [weights, shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return ScoringSession(model.SerializeToString())


def recorded(session: ScoringSession, **changes):
    numbers = changes.pop("numbers", [0.25, 1400.0, -0.0])
    score = float(session.score(np.array([numbers]), np.empty((1, 0), dtype=object))[0])
    return prediction(1, numbers=numbers, **{"score": score, "categories": ["JFK", ""], **changes})


def test_the_same_inputs_give_the_same_bits(session):
    one = recorded(session)
    again = reexecute(one, DEFINITION, BUNDLE, session)
    assert again.equal
    assert again.recorded_bits == again.recomputed_bits == bits(one.score)
    assert again.recorded == again.recomputed == one.score


def test_one_bit_of_difference_is_found(session):
    one = recorded(session)
    other = recorded(session, score=math.nextafter(one.score, 1.0))
    again = reexecute(other, DEFINITION, BUNDLE, session)
    assert not again.equal
    assert int(again.recorded_bits, 16) - int(again.recomputed_bits, 16) == 1


def test_a_missing_score_is_equal_to_itself(session):
    one = recorded(session, numbers=[math.nan, 1.0, 1.0])
    assert math.isnan(one.score)
    assert reexecute(one, DEFINITION, BUNDLE, session).equal


def test_zeros_of_both_signs_differ():
    assert bits(0.0) != bits(-0.0)


def test_features_have_names_values_and_ages(session):
    again = reexecute(recorded(session), DEFINITION, BUNDLE, session)
    assert [(one.name, one.value, one.view, one.age_us) for one in again.features] == [
        ("carrier.delay_24h", 0.25, "carrier", 60_000_001),
        ("origin", "JFK", "", None),
        ("distance", 1400.0, "", None),
        ("dest", "", "", None),
        ("load", -0.0, "", None),
    ]
    without_events = named_features(prediction(1, feature_times_us=[0], categories=["", ""]), DEFINITION)
    assert without_events[0].age_us is None
    assert NOW_US > 0


def test_inputs_that_the_client_sent_itself_came_from_no_view(session):
    again = reexecute(recorded(session, feature_times_us=[]), DEFINITION, BUNDLE, session)
    assert again.equal
    assert {(one.view, one.age_us) for one in again.features} == {("", None)}


def test_another_bundle_is_refused(session):
    with pytest.raises(IntegrityError, match="was made by bundle abab"):
        reexecute(recorded(session), DEFINITION, "cd" * 32, session)


def test_a_failed_prediction_has_nothing_to_compare(session):
    with pytest.raises(RecorderError, match="failed with 'row'"):
        reexecute(recorded(session, error="row"), DEFINITION, BUNDLE, session)


@pytest.mark.parametrize("changes", [{"numbers": [1.0]}, {"categories": ["a"]}, {"feature_times_us": [1, 2]}])
def test_inputs_that_do_not_fit_are_refused(session, changes):
    one = prediction(1, **{"categories": ["", ""], **changes})
    with pytest.raises(IntegrityError, match="takes"):
        reexecute(one, DEFINITION, BUNDLE, session)


PROOF = proof(versions={"python": "3.11.7", "numpy": "2.4.6", "onnxruntime": "1.32.0"}, host="Xeon avx512f")


def test_the_environment_of_the_proof_stands_beside_this_one(session):
    now = {"python": "3.11.7", "numpy": "2.5.0"}
    found = environment_of(PROOF, host="EPYC avx2", versions=now)
    assert found == (
        Component(name="host", proved="Xeon avx512f", now="EPYC avx2"),
        Component(name="python", proved="3.11.7", now="3.11.7"),
        Component(name="numpy", proved="2.4.6", now="2.5.0"),
        Component(name="onnxruntime", proved="1.32.0", now=""),
    )
    again = reexecute(recorded(session), DEFINITION, BUNDLE, session, environment=found)
    assert again.environment == found
    assert again.other_host


@pytest.mark.parametrize(
    ("proved", "now", "other"), [("Xeon", "Xeon", False), ("", "Xeon", False), ("Xeon", "EPYC", True)]
)
def test_another_class_of_host_is_told_where_it_is_known(session, proved, now, other):
    environment = environment_of(msgspec.structs.replace(PROOF, host=proved), host=now, versions={})
    assert reexecute(recorded(session), DEFINITION, BUNDLE, session, environment=environment).other_host == other
    assert not reexecute(recorded(session), DEFINITION, BUNDLE, session).other_host


def test_event_times_are_when_the_newest_event_of_the_view_became_known(session):
    one = recorded(session)
    moments = [feature.event_us for feature in reexecute(one, DEFINITION, BUNDLE, session).features]
    assert moments == [one.feature_times_us[0], None, None, None, None]
    without = named_features(prediction(1, feature_times_us=[0], categories=["", ""]), DEFINITION)
    assert without[0].event_us is None


RULED = msgspec.structs.replace(
    DEFINITION,
    rule=as_node(col("distance") / 4000 + col("scheduled").dt.hour() / 1000),
    schemas={
        "flights": (
            ColumnSchema(name="scheduled", kind="time"),
            ColumnSchema(name="flight_id", kind="string"),
            ColumnSchema(name="distance", kind="float"),
        )
    },
)
HOUR = NOW_US // 3_600_000_000 % 24


def by_rule(**changes):
    made = {"numbers": [], "categories": [], "feature_times_us": [], "request": {"distance": 1400.0}}
    made |= {"role": "rule", "time_us": NOW_US, "score": 1400 / 4000 + HOUR / 1000}
    return prediction(1, **(made | changes))


def test_what_a_rule_answered_is_computed_by_the_rule_again_to_the_bit(session):
    again = reexecute(by_rule(), RULED, BUNDLE, session)
    assert (again.equal, again.features) == (True, ())
    assert not reexecute(by_rule(score=0.5), RULED, BUNDLE, session).equal


@pytest.mark.parametrize(
    ("kept", "told"), [({}, "distance"), ({"distance": "blake2b:77"}, "distance"), ({"other": 1}, "distance")]
)
def test_a_rule_whose_columns_were_not_kept_says_so(session, kept, told):
    with pytest.raises(RecorderError, match=f"cannot be executed again: {told} was not kept"):
        reexecute(by_rule(request=kept), RULED, BUNDLE, session)


def test_a_column_that_was_never_sent_is_missing_then_as_now(session):
    rule = as_node(col("distance").is_missing())
    definition = msgspec.structs.replace(RULED, rule=rule)
    assert reexecute(by_rule(request={}, score=1.0), definition, BUNDLE, session).equal


def test_a_version_without_a_rule_gave_no_rule_s_answer(session):
    with pytest.raises(IntegrityError, match="has none"):
        reexecute(by_rule(), DEFINITION, BUNDLE, session)


@pytest.mark.parametrize("role", ["stale", "standby", "cached"])
def test_other_rungs_are_executed_by_the_model_from_their_own_inputs(session, role):
    assert reexecute(recorded(session, role=role), DEFINITION, BUNDLE, session).equal
