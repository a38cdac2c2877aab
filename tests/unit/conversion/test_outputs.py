import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from seakeep.conversion.emit.model import emit
from seakeep.conversion.outputs import ask, declared_order, outputs_of, require_served
from seakeep.conversion.session import OUTPUTS, ScoringSession
from seakeep.errors import ConversionError, IntegrityError
from seakeep.records.feature import FeatureColumn
from seakeep.records.outputs import PROBABILITY, Outputs, classes, number

COLUMNS = [FeatureColumn(name=name, kind="number") for name in ("a", "b")]


@pytest.fixture(scope="module")
def frame():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(90, 2)), columns=["a", "b"])


def three(frame):
    return np.digitize(frame["a"], [-0.4, 0.4])


CASES = {
    "probability": (LogisticRegression(), lambda frame: (frame["a"] > 0).astype(int), Outputs()),
    "boolean": (LogisticRegression(), lambda frame: frame["a"] > 0, Outputs()),
    "named": (
        LogisticRegression(),
        lambda frame: np.where(frame["a"] > 0, "yes", "no"),
        Outputs(kind="probabilities", names=("no", "yes")),
    ),
    "decision": (LinearSVC(), lambda frame: frame["a"] > 0, Outputs(kind="decision", names=("False", "True"))),
    "decisions": (SVC(), three, Outputs(kind="decisions", names=("0", "1", "2"))),
    "class": (VotingClassifier([("a", SVC())]), three, Outputs(kind="class", names=("0", "1", "2"))),
    "value": (LinearRegression(), lambda frame: frame["a"], Outputs(kind="value")),
    "values": (RandomForestRegressor(3), lambda frame: frame, Outputs(kind="values", names=("0", "1"))),
    "anomaly": (IsolationForest(n_estimators=3), lambda _: None, Outputs(kind="anomaly")),
}


@pytest.mark.parametrize("name", CASES)
def test_the_most_telling_answer_is_found_emitted_and_told_by_the_model(name, frame):
    model, target, expected = CASES[name]
    model.fit(frame, target(frame))
    emission = emit(model, COLUMNS)
    assert emission.outputs == expected
    assert outputs_of(model).kind == ("value" if name == "values" else expected.kind)
    session = ScoringSession(emission.model)
    assert session.outputs == expected
    served = session.score(frame.to_numpy(), np.empty((90, 0), dtype=object)).reshape(90, -1)
    assert np.allclose(served, ask(model, emission.outputs)(frame).reshape(90, -1), atol=1e-10)
    assert session.score(np.empty((0, 2)), np.empty((0, 0), dtype=object)).shape[1:] == (
        () if expected.single else (len(expected.names),)
    )


def test_what_the_label_declares_is_served_and_nothing_else():
    require_served(PROBABILITY, "LogisticRegression")
    require_served(Outputs(kind="value"), "LinearRegression", number())
    for other in (PROBABILITY, Outputs(kind="values", names=("a", "b")), Outputs(kind="anomaly")):
        with pytest.raises(ConversionError, match=f"gives {other.kind}; the label is declared as a number"):
            require_served(other, "Other", number())
    with pytest.raises(ConversionError, match="LinearRegression gives value; what is served") as refusal:
        require_served(Outputs(kind="value"), "LinearRegression")
    assert "binary classifier" in refusal.value.hint


@pytest.mark.parametrize("model", [StandardScaler(), KMeans(2), LogisticRegression(), "text", 3])
def test_what_is_no_fitted_predictor_is_refused(model):
    with pytest.raises(ConversionError, match="is not a fitted classifier, regressor or outlier detector"):
        outputs_of(model)


def test_several_labels_at_once_are_refused(frame):
    model = RandomForestClassifier(2).fit(frame, (frame > 0).astype(int))
    with pytest.raises(ConversionError, match="predicts 2 labels at once"):
        emit(model, COLUMNS)


def test_metadata_of_unknown_answers_are_refused(frame):
    content = emit(LogisticRegression().fit(frame, frame["a"] > 0), COLUMNS).model
    model = onnx.load_from_string(content)
    assert not model.metadata_props  # a probability needs no telling: such models keep their bytes
    onnx.helper.set_model_props(model, {OUTPUTS: '{"kind": "poem"}'})
    with pytest.raises(IntegrityError, match="what is not known"):
        ScoringSession(model.SerializeToString())


def test_a_model_holds_nothing_that_its_answer_does_not_need(frame):
    """Both a class's probability and all of them can be asked of a tree: only what was asked for is written."""
    model = DecisionTreeClassifier(max_depth=3).fit(frame, frame["a"] > 0)
    graph = onnx.load_from_string(emit(model, COLUMNS).model).graph
    assert [node.op_type for node in graph.node].count("TreeEnsemble") == 1
    used = {name for node in graph.node for name in node.input}
    assert {one.name for one in graph.initializer} <= used


@pytest.mark.parametrize(
    ("module", "framework"), [("torch.nn.modules.module", "PyTorch"), ("keras.src.models.model", "Keras")]
)
def test_a_network_of_another_framework_is_refused_by_its_name_alone_or_at_the_end_of_a_pipeline(module, framework):
    network = type("Net", (type("Base", (), {"__module__": module}),), {})()
    for estimator in (network, Pipeline([("scale", StandardScaler()), ("net", network)])):
        with pytest.raises(ConversionError, match=f"networks of {framework} are not converted yet"):
            outputs_of(estimator)


def test_classes_are_answered_in_the_declared_order_and_others_are_refused_by_name(frame):
    wanted = classes("c", "a", "b")
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(frame, np.array(wanted.names)[three(frame)])
    assert declared_order(model, wanted) == (2, 0, 1)
    emission = emit(model, COLUMNS, wanted)
    assert emission.outputs == ScoringSession(emission.model).outputs == wanted
    with pytest.raises(ConversionError, match="it knows no d; b is not declared"):
        emit(model, COLUMNS, classes("c", "a", "d"))
    with pytest.raises(ConversionError, match="it knows no c"):
        emit(LogisticRegression().fit(frame, frame["a"] > 0), COLUMNS, classes("a", "b", "c"))
    require_served(emission.outputs, "DecisionTreeClassifier", wanted)
    with pytest.raises(ConversionError, match="the label is declared as 3 classes"):
        require_served(Outputs(kind="decisions", names=("a", "b", "c")), "LinearSVC", wanted)
    with pytest.raises(ConversionError, match="gives probabilities of a, b, c; the label is declared as 3 classes"):
        require_served(Outputs(kind="probabilities", names=("a", "b", "c")), "the file", wanted)
