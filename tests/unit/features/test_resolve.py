import msgspec
import pytest

from seakeep.errors import ConfigError, LeakError
from seakeep.features.resolve import faults, resolve
from seakeep.records.expression import as_node, col, columns_of
from seakeep.records.feature import FeatureColumn, FeatureView, RequestFeatures, count, latest, mean
from seakeep.records.model import Label, Model, ModelDefinition, TopShare
from seakeep.records.outputs import PROBABILITY, Outputs, classes, number
from seakeep.records.source import ColumnSchema, Events

FLIGHTS = Events("flights", time="scheduled", key="id")
ARRIVALS = Events("arrivals", time="landed", key="id")


def schema(**kinds):
    return tuple(ColumnSchema(name=name, kind=kind) for name, kind in kinds.items())


SCHEMAS = {
    "flights": schema(
        scheduled="time",
        id="int",
        carrier="string",
        dest="string",
        distance="float",
        gate="float",
        bay="int",
        zone="int",
    ),
    "arrivals": schema(landed="time", id="int", carrier="string", arr_delay="float", runway="string", zone="string"),
    "unused": schema(t="time"),
}
VIEW = FeatureView("carrier_recent", ARRIVALS, "carrier", {
    "late": mean(col("arr_delay") > 15, over=["1h", "24h"]),
    "n": count(over=["1h"]),
    "runway": latest("runway", within="6h"),
    "delay": latest("arr_delay", within="6h"),
})  # fmt: skip
LABEL = Label(ARRIVALS, col("arr_delay") > 15)


def definition(*features, on=FLIGHTS, label=LABEL):
    return Model("late", on=on, features=features, label=label, train=lambda frame: frame).definition


def told(*features, schemas=SCHEMAS, **more):
    return [fault.message for fault in faults(definition(*features, **more), schemas)]


def test_the_inputs_in_order_with_kinds():
    resolved = resolve(definition(RequestFeatures(hour=col("scheduled").dt.hour(), dest=col("dest")), VIEW), SCHEMAS)
    assert resolved.columns == (
        FeatureColumn(name="carrier_recent.late_1h", kind="number", view="carrier_recent"),
        FeatureColumn(name="carrier_recent.late_24h", kind="number", view="carrier_recent"),
        FeatureColumn(name="carrier_recent.n_1h", kind="number", view="carrier_recent"),
        FeatureColumn(name="carrier_recent.runway", kind="category", view="carrier_recent"),
        FeatureColumn(name="carrier_recent.delay", kind="number", view="carrier_recent"),
        FeatureColumn(name="hour", kind="number"),
        FeatureColumn(name="dest", kind="category"),
    )


def test_only_the_columns_that_are_needed_are_kept():
    resolved = resolve(definition(VIEW, RequestFeatures(dest=col("dest"))), SCHEMAS)
    names = {source: [column.name for column in columns] for source, columns in resolved.schemas.items()}
    assert names == {
        "flights": ["scheduled", "id", "carrier", "dest"],
        "arrivals": ["landed", "id", "carrier", "arr_delay", "runway"],
    }


def test_a_resolved_definition_survives_json():
    resolved = resolve(definition(VIEW, RequestFeatures(dest=col("dest"), far=col("distance") > 1)), SCHEMAS)
    text = msgspec.json.encode(resolved, order="deterministic")
    again = msgspec.json.decode(text, type=ModelDefinition)
    assert msgspec.json.encode(again, order="deterministic") == text
    assert again.columns == resolved.columns
    assert faults(again, SCHEMAS) == ()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (FeatureView("v", ARRIVALS, "carier", {"n": count(over=["1h"])}), "v: 'arrivals' has no entity column 'carier'"),
        (FeatureView("v", ARRIVALS, "runway", {"n": count(over=["1h"])}), "v: 'flights' has no entity column 'runway'"),
        (FeatureView("v", ARRIVALS, "arr_delay", {"n": count(over=["1h"])}), "'arr_delay' of 'arrivals' is float"),
        (FeatureView("v", ARRIVALS, "zone", {"n": count(over=["1h"])}), "is a string in one source and an int"),
        (FeatureView("V w", ARRIVALS, "carrier", {"n": count(over=["1h"])}), "'V w' cannot name a view"),
        (FeatureView("v", ARRIVALS, "carrier", {}), "view 'v' has no features"),
        (FeatureView("v", ARRIVALS, "carrier", {"n": count(over=[])}), "v.n has no window"),
        (FeatureView("v", ARRIVALS, "carrier", {"n": count(over=["0h"])}), "v.n: a window of '0h' holds nothing"),
        (FeatureView("v", ARRIVALS, "carrier", {"n": count(over=["1 hour"])}), "v.n: '1 hour' is not a duration"),
        (FeatureView("v", ARRIVALS, "carrier", {"m": mean("delay", over=["1h"])}), "v.m: there is no column 'delay'"),
        (FeatureView("v", ARRIVALS, "carrier", {"m": mean("runway", over=["1h"])}), "v.m: the mean of a string"),
        (FeatureView("v", ARRIVALS, "carrier", {"m": latest("landed", within="1h")}), "v.m is a time"),
        (FeatureView("v", Events("arrivals", time="landed"), "carrier", {"n": count(over=["1h"])}), "declared in two ways"),
        (FeatureView("v", Events("arivals", time="x"), "carrier", {"n": count(over=["1h"])}), "no data for source 'arivals'"),
        (FeatureView("v", Events("unused", time="tt"), "carrier", {"n": count(over=["1h"])}), "'unused' has no time column 'tt'"),
        (RequestFeatures(x=col("distanse")), "x: there is no column 'distanse'"),
        (RequestFeatures(x=col("scheduled")), "x is a time"),
        (RequestFeatures(x=col("carrier") + 1), "x: add needs numbers, not a string"),
    ],
)  # fmt: skip
def test_a_wrong_feature_is_told(features, message):
    found = told(VIEW, features)
    assert any(message in one for one in found), found
    with pytest.raises((ConfigError, LeakError)):
        resolve(definition(VIEW, features), SCHEMAS)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"on": Events("flights", time="carrier", key="id")},
            "time column 'carrier' of 'flights' is string, not a time",
        ),
        ({"on": Events("flights", time="scheduled", key="distance")}, "key column 'distance' of 'flights' is float"),
        ({"on": Events("flights", time="scheduled", key="carrier")}, "one is a string, the other an int"),
        ({"on": Events("flights", time="scheduled")}, "the label needs a key in source 'flights'"),
        ({"on": Events("flights", time="scheduled", key="id", delay="soon")}, "delay of source 'flights': 'soon'"),
        ({"label": Label(ARRIVALS, col("delay") > 1)}, "label: there is no column 'delay'"),
        ({"label": Label(ARRIVALS, col("runway"))}, "the label is a string"),
        ({"label": Label(ARRIVALS, col("runway"), answers=number())}, "the label is a string"),
        ({"label": Label(ARRIVALS, col("arr_delay"), answers=classes("a", "b", "c"))}, "the label is a number"),
        ({"label": Label(ARRIVALS, col("runway"), answers=classes("a", "b"))}, "2 classes are no several"),
        ({"label": Label(ARRIVALS, col("runway"), answers=classes("a", "b", "a"))}, "the names of classes must differ"),
        (
            {"label": Label(ARRIVALS, col("arr_delay"), answers=Outputs(kind="anomaly"))},
            "no label is of kind 'anomaly'",
        ),
        ({"label": Label(ARRIVALS, col("arr_delay") > 1, delay="x")}, "delay of the label: 'x'"),
    ],
)
def test_a_wrong_source_or_label_is_told(more, message):
    assert any(message in one for one in told(VIEW, **more)), told(VIEW, **more)


def test_two_of_one_name_are_told():
    found = told(VIEW, VIEW, RequestFeatures(**{"carrier_recent.n_1h": col("distance")}))
    assert "two views are named 'carrier_recent'" in found
    assert "two inputs are named 'carrier_recent.n_1h'" in found


def test_a_model_without_features_is_told():
    assert told() == ["model 'late' has no features"]


def test_a_request_feature_that_is_known_only_later_is_a_leak():
    declared = definition(VIEW, RequestFeatures(delay=col("arr_delay")))
    (fault,) = faults(declared, SCHEMAS)
    assert fault.leak
    assert fault.subject == "delay"
    assert "comes with 'arrivals' and is known only then" in fault.message
    assert "FeatureView on 'arrivals'" in fault.hint
    with pytest.raises(LeakError):
        resolve(declared, SCHEMAS)


def test_a_request_feature_that_reads_the_outcome_is_a_leak():
    label = Label(FLIGHTS, col("gate") > 3)
    declared = definition(VIEW, RequestFeatures(gate=col("gate") + col("distance")), label=label)
    with pytest.raises(LeakError, match="'gate', which is the outcome"):
        resolve(declared, SCHEMAS)
    assert told(VIEW, RequestFeatures(far=col("distance")), label=label) == []


def test_every_fault_is_told_at_once():
    view = FeatureView("v", ARRIVALS, "carier", {"m": mean("delay", over=["1h", "x"])})
    found = told(view, RequestFeatures(x=col("y"), z=col("arr_delay")), label=Label(ARRIVALS, col("late")))
    assert len(found) == 7
    with pytest.raises(LeakError) as caught:
        resolve(definition(view, RequestFeatures(x=col("y"), z=col("arr_delay"))), SCHEMAS)
    assert len(caught.value.message.splitlines()) == 6


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (col("planet") > 1, "rule: there is no column 'planet'"),
        (col("carrier"), "the rule is a string"),
        (col("scheduled"), "the rule is a time"),
    ],
)
def test_a_wrong_rule_is_told(rule, message):
    found = faults(msgspec.structs.replace(definition(VIEW), rule=rule), SCHEMAS)
    assert [one.message for one in found if one.message.startswith(message)]


@pytest.mark.parametrize("rule", [0.25, 1, True, col("distance") > 1000])
def test_a_rule_is_kept_with_the_columns_that_it_reads(rule):
    resolved = resolve(msgspec.structs.replace(definition(VIEW), rule=as_node(rule)), SCHEMAS)
    kept = {column.name for column in resolved.schemas["flights"]}
    assert set(columns_of(resolved.rule)) <= kept
    assert msgspec.json.decode(msgspec.json.encode(resolved), type=ModelDefinition).rule is not None


def test_a_number_is_decided_by_nothing():
    label = Label(ARRIVALS, col("arr_delay"), answers=number())
    declared = definition(VIEW, label=label)
    assert told(VIEW, label=label) == []
    decided = msgspec.structs.replace(declared, decision=TopShare(0.2))
    (fault,) = faults(decided, SCHEMAS)
    assert "is decided by nothing" in fault.message


def test_a_class_is_decided_by_its_probability_and_has_no_rule():
    label = Label(ARRIVALS, col("runway"), answers=classes("a", "b", "c"))
    assert told(VIEW, label=label) == []
    declared = definition(VIEW, label=label)
    more = msgspec.structs.replace(declared, decision=TopShare(0.2), rule=as_node(0.1))
    assert [one.message for one in faults(more, SCHEMAS)] == [
        "a label of classes is decided by the highest probability",
        "a rule gives one number, and a model of classes one for each",
    ]
    assert msgspec.json.decode(msgspec.json.encode(label), type=Label).outputs == classes("a", "b", "c")


def test_a_label_that_says_nothing_of_its_answers_is_written_as_before():
    written = msgspec.json.encode(Label(ARRIVALS, col("arr_delay") > 1))
    assert b"answers" not in written
    assert msgspec.json.decode(written, type=Label).outputs is PROBABILITY
    number_too = msgspec.json.encode(Label(ARRIVALS, col("arr_delay"), answers=number()))
    assert msgspec.json.decode(number_too, type=Label).outputs == number()
