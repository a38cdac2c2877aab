"""CatBoost leaf by leaf: borders, missing and infinite numbers, settings, refusals, planted faults; skipped without it.

The models of its zoo are proved in ``test_boosters.py``.
"""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

catboost = pytest.importorskip("catboost", reason="needs the extra `catboost`")

from benchmarks.zoo import catboost_models as zoo  # noqa: E402 -- only with the extra
from catboost import CatBoostClassifier, CatBoostRegressor  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.ensemble import VotingClassifier, VotingRegressor  # noqa: E402
from sklearn.linear_model import LogisticRegression, Ridge  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402

from seakeep.conversion.emit import cat, families, registry  # noqa: E402
from seakeep.conversion.emit import tree as follower  # noqa: E402
from seakeep.conversion.emit.graph import Graph  # noqa: E402
from seakeep.conversion.emit.model import emit, estimators  # noqa: E402
from seakeep.conversion.native import native_scorer  # noqa: E402
from seakeep.conversion.parity import prove  # noqa: E402
from seakeep.conversion.rows import Rows  # noqa: E402
from seakeep.conversion.session import ScoringSession  # noqa: E402
from seakeep.errors import ConversionError  # noqa: E402
from seakeep.records.feature import FeatureColumn  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_row_at_its_extremes")
SIZE = 6
few = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


class Scaled(CatBoostRegressor):
    """A shorthand whose ``fit`` gives a plain regression with another scale and bias."""

    def fit(self, X, y):  # noqa: N803 -- as scikit-learn names it
        model = CatBoostRegressor(**self.get_params()).fit(X, y)
        model.set_scale_and_bias(0.3, -7.25)
        return model


ENTRIES = zoo.MODELS | {
    "scaled and shifted": (lambda n: Scaled(iterations=n, **zoo.QUIET), "missing", "value"),
}


@pytest.fixture(scope="module")
def fitted(drawn):
    """Models of the zoo by name, each fitted once."""
    kept = {}

    def fit(name):
        if name not in kept:
            make, inputs, target = ENTRIES[name]
            kept[name] = make(SIZE).fit(getattr(drawn, inputs), getattr(drawn, target)), drawn.columns(inputs)
        return kept[name]

    return fit


def numbered(names):
    return [FeatureColumn(name=name, kind="number") for name in names]


def proof_of(model, columns, rows):
    return prove(native_scorer(model, columns), emit(model, columns), rows, threshold=0.4, artefact_sha256="")


def answers(model, columns, rows):
    """What the emitted model gives, and what the source gives."""
    ours = ScoringSession(emit(model, columns).model)
    source = native_scorer(model, columns)
    return ours.score(rows.numbers, rows.categories), source(rows.numbers, rows.categories)


@pytest.mark.parametrize(
    "name",
    ["CatBoost regression", "CatBoost regression, depthwise", "CatBoost, two values", "scaled and shifted"],
)
def test_sums_of_leaves_have_their_very_bits(fitted, unseen, name):
    """Leaves are added in CatBoost's order, then scaled and shifted."""
    model, columns = fitted(name)
    ours, theirs = answers(model, columns, unseen.rows("missing"))
    assert ours.reshape(theirs.shape).tobytes() == theirs.tobytes()


def test_the_export_has_every_digit(fitted):
    model, _ = fitted("CatBoost regression")
    told = cat._exported(model, "")
    leaves = np.concatenate([one["leaf_values"] for one in told["oblivious_trees"]])
    assert leaves.tobytes() == model.get_leaf_values().tobytes()
    for feature in told["features_info"]["float_features"]:
        borders = np.array(feature["borders"])
        assert borders.tolist() == borders.astype(np.float32).astype(float).tolist()
        assert borders.astype(np.float32).tolist() == list(
            map(np.float32, model.get_borders()[feature["feature_index"]])
        )


def test_a_row_reaches_the_leaf_that_catboost_says(fitted, drawn, unseen):
    """The number of the leaf, tree by tree, and not its value alone."""
    model, columns = fitted("CatBoost")
    told = cat._exported(model, "")
    for one in told["oblivious_trees"]:
        one["leaf_values"] = list(range(len(one["leaf_values"])))
    rows = unseen.rows("missing")
    places = model.calc_leaf_indexes(unseen.missing)
    for index, one in enumerate(told["oblivious_trees"]):
        alone = {**told, "oblivious_trees": [one], "scale_and_bias": [1, [0]]}
        graph = Graph([column.name for column in columns], ["number"] * len(columns))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cat, "_exported", lambda *_, alone=alone: alone)
            raw, outputs, _ = cat._margin(graph, model, graph.inputs, "model")
        session = ScoringSession(graph.model(raw, outputs, flat=False))
        assert session.score(rows.numbers, rows.categories).ravel().tolist() == places[:, index].tolist()


@pytest.mark.parametrize("name", ["CatBoost", "CatBoost, missing highest", "CatBoost, by loss"])
def test_values_at_a_border_go_left_and_the_next_float_goes_right(fitted, name):
    """Halfway between two floats of single precision the rounding decides; twice, up and down."""
    model, columns = fitted(name)
    rows = []
    for position, borders in model.get_borders().items():
        for border in np.array(borders, dtype=np.float32):
            with np.errstate(over="ignore"):
                above = np.nextafter(border, np.float32(np.inf))
            middle = (np.float64(border) + np.float64(above)) / 2
            near = [np.nextafter(border, np.float32(-np.inf)), border, above]
            near += [np.nextafter(middle, -np.inf), middle, np.nextafter(middle, np.inf)]
            rows += [np.where(np.arange(len(columns)) == position, value, 0.1) for value in near]
    numbers = np.array(rows, dtype=np.float64)
    ours, theirs = answers(model, columns, Rows(numbers, np.empty((len(numbers), 0), dtype=object)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)
    assert len(np.unique(theirs)) > 10


@pytest.mark.parametrize("mode", ["Min", "Max", "Forbidden"])
def test_missing_values_where_training_had_them_and_where_not(drawn, mode):
    """A column without missing values in training sends NaN to the left, whatever the mode; one with them by the mode."""
    frame = drawn.plain if mode == "Forbidden" else drawn.plain.assign(wide=drawn.missing["wide"])
    model = zoo.classifier(SIZE, nan_mode=mode).fit(frame, drawn.binary)
    features = cat._exported(model, "")["features_info"]["float_features"]
    expected = {"Min": {"AsIs", "AsFalse"}, "Max": {"AsIs", "AsTrue"}, "Forbidden": {"AsIs"}}[mode]
    assert {one["nan_value_treatment"] for one in features} == expected
    columns = drawn.columns("plain")
    assert proof_of(model, columns, drawn.rows("missing").take(np.arange(60))).passed
    trees = emit(model, columns).forests[0][0].trees
    sides = {
        (int(c), bool(m))
        for one in trees
        for c, m in zip(one.column[~one.is_leaf], one.missing_left[~one.is_leaf], strict=True)
    }
    assert sides == {(i, not (mode == "Max" and i == 1)) for i in {column for column, _ in sides}}
    assert 1 in {column for column, _ in sides}


def test_infinite_and_huge_numbers_are_accepted_as_catboost_accepts_them(fitted):
    model, columns = fitted("CatBoost, missing highest")
    values = [np.inf, -np.inf, np.nan, 1e300, -1e300, 3.4e38, 3.4028235e38, 3.4028236e38, 1e-45, 1e-46, -0.0]
    numbers = np.repeat([[0.1, 0.1, 0.1, 0.1]], len(values) * 4, axis=0)
    for column in range(4):
        numbers[column * len(values) : (column + 1) * len(values), column] = values
    ours, theirs = answers(model, columns, Rows(numbers, np.empty((len(numbers), 0), dtype=object)))
    assert not np.isnan(theirs).any()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)


SETTINGS = {
    "many borders": {"border_count": 700},
    "one border": {"border_count": 1},
    "depth 1": {"depth": 1},
    "deeper than a byte": {"depth": 10},
    "ignored columns": {"ignored_features": [0, 2]},
    "classes in another order": {"class_names": [1, 0]},
    "region": {"grow_policy": "Lossguide", "max_leaves": 3},
    "of its own columns": {"per_float_feature_quantization": ["1:border_count=300"]},
    "smooth": {"model_shrink_rate": 0.3},
    "Langevin": {"langevin": True},
    "balanced": {"auto_class_weights": "Balanced"},
    "newton": {"leaf_estimation_method": "Newton", "leaf_estimation_iterations": 5},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_that_change_the_trees(drawn, unseen, setting):
    model = zoo.classifier(SIZE, **SETTINGS[setting]).fit(drawn.missing, drawn.binary)
    proof = proof_of(model, drawn.columns("missing"), unseen.rows("missing"))
    assert proof.passed, (proof.worst, proof.max_difference)


@pytest.mark.parametrize("names", [["low", "middle", "high"], ["middle", "high", "low"]])
@pytest.mark.parametrize("loss", ["MultiClass", "MultiClassOneVsAll"])
def test_classes_stand_in_the_models_order(drawn, unseen, names, loss):
    model = zoo.classifier(SIZE, class_names=names, loss_function=loss).fit(drawn.missing, drawn.three)
    emission = emit(model, drawn.columns("missing"))
    assert emission.outputs.names == tuple(names)
    assert proof_of(model, drawn.columns("missing"), unseen.rows("missing")).passed


def test_models_that_were_added_up(drawn, unseen):
    parts = [
        zoo.classifier(SIZE, random_seed=seed, loss_function="Logloss").fit(drawn.missing, drawn.binary)
        for seed in (1, 2)
    ]
    both = catboost.sum_models(parts, weights=[0.25, 0.75])
    model = CatBoostClassifier().load_model(blob=both._serialize_model())
    columns = drawn.columns("missing")
    ours, theirs = answers_or_refusal(model, columns, unseen.rows("missing"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)


def answers_or_refusal(model, columns, rows):
    """As :func:`answers`, of a model that may say nothing of its classes."""
    graph = Graph([column.name for column in columns], ["number"] * len(columns))
    scored = registry.predict(graph, model, graph.inputs, "model")
    session = ScoringSession(graph.model(registry.positive(graph, scored), 1, flat=True))
    frame = pd.DataFrame(rows.numbers, columns=[column.name for column in columns])
    raw = model.predict(frame, prediction_type="RawFormulaVal")
    return session.score(rows.numbers, rows.categories), 1 / (1 + np.exp(-raw))


def test_a_model_that_was_saved_and_loaded(fitted, unseen, tmp_path):
    model, columns = fitted("CatBoost, three classes")
    model.save_model(str(tmp_path / "model.cbm"))
    loaded = CatBoostClassifier().load_model(str(tmp_path / "model.cbm"))
    assert emit(loaded, columns).model == emit(model, columns).model
    assert proof_of(loaded, columns, unseen.rows("missing")).passed


@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9, 0.0, 1.0])
def test_the_class_is_told_by_the_models_own_threshold(drawn, unseen, threshold):
    """A vote of classes asks for ``predict``, which compares the raw value with the threshold's."""
    model = zoo.classifier(SIZE).fit(drawn.missing, drawn.binary)
    model.set_probability_threshold(threshold)
    columns = drawn.columns("missing")
    graph = Graph([column.name for column in columns], ["number"] * len(columns))
    scored = registry.predict(graph, model, graph.inputs, "model")
    session = ScoringSession(graph.model(registry.label(graph, scored), 1, flat=True))
    rows = unseen.rows("missing")
    assert session.score(rows.numbers, rows.categories).tolist() == model.predict(unseen.missing).tolist()


def test_the_likeliest_of_several_classes_is_told(fitted, drawn, unseen):
    model, columns = fitted("CatBoost, three classes")
    graph = Graph([column.name for column in columns], ["number"] * len(columns))
    scored = registry.predict(graph, model, graph.inputs, "model")
    session = ScoringSession(graph.model(registry.label(graph, scored), 1, flat=True))
    rows = unseen.rows("missing")
    told = model.classes_[session.score(rows.numbers, rows.categories).astype(int)]
    assert told.tolist() == model.predict(unseen.missing).ravel().tolist()


COMPOSED = {
    "vote of classes": lambda: VotingClassifier(
        [("a", zoo.classifier(SIZE)), ("b", DecisionTreeClassifier(max_depth=3)), ("c", zoo.classifier(3, depth=2))]
    ),
    "vote of probabilities": lambda: VotingClassifier(
        [("a", zoo.classifier(SIZE)), ("b", LogisticRegression())], voting="soft"
    ),
    "calibrated": lambda: CalibratedClassifierCV(zoo.classifier(SIZE), cv=2, method="sigmoid"),
    "principal components": lambda: make_pipeline(PCA(2), zoo.classifier(SIZE)),
    "single precision": lambda: make_pipeline(FunctionTransformer(np.sin), zoo.classifier(SIZE)),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_inside_other_estimators(drawn, unseen, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = COMPOSED[name]().fit(drawn.plain, drawn.binary)
    proof = proof_of(model, drawn.columns("plain"), unseen.rows("plain"))
    assert proof.passed, (proof.worst, proof.max_difference)


def test_a_vote_of_values(drawn, unseen):
    model = VotingRegressor([("a", zoo.regressor(SIZE)), ("b", Ridge())]).fit(drawn.plain, drawn.value)
    assert proof_of(model, drawn.columns("plain"), unseen.rows("plain")).passed


REFUSALS = {
    "cat_features": (
        "categorical features 'place'",
        lambda s: zoo.classifier(3, cat_features=["place"]).fit(s.full, s.binary),
        "full",
    ),
    "cat_features of codes": (
        "categorical features 'count'",
        lambda s: zoo.classifier(3, cat_features=["count"]).fit(s.plain.astype({"count": int}), s.binary),
        "plain",
    ),
    "text_features": (
        "text features 'place'",
        lambda s: zoo.classifier(3, text_features=["place"]).fit(s.full.assign(place="one two three"), s.binary),
        "full",
    ),
    "embedding_features": (
        "embedding features 'shift'",
        lambda s: zoo.classifier(3, embedding_features=["shift"]).fit(
            s.plain.assign(shift=[np.array([x, x * x, 1.0]) for x in s.plain["shift"]]), s.binary
        ),
        "plain",
    ),
    "labels": (
        "loss_function='MultiLogloss'",
        lambda s: zoo.Labels(iterations=3, loss_function="MultiLogloss", **zoo.QUIET).fit(s.plain, s.binary),
        "plain",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_says_why_and_what_to_do(drawn, name):
    why, fit, inputs = REFUSALS[name]
    with pytest.raises(ConversionError, match=why) as refusal:
        emit(fit(drawn), drawn.columns(inputs))
    assert refusal.value.hint


def test_a_border_at_infinity_is_refused():
    """CatBoost puts a border halfway between what became infinite in single precision and a number; its JSON has no infinity."""
    numbers = np.random.default_rng(0).normal(size=(300, 1))
    numbers[:40] = -1e300
    model = zoo.classifier(3, depth=2).fit(numbers, np.arange(300) < 40)
    assert -np.inf in model.get_borders()[0]
    with pytest.raises(ConversionError, match="CatBoost cannot write the model as JSON") as refusal:
        emit(model, numbered(["shift"]))
    assert "3.4e38" in refusal.value.hint


def test_trees_that_ask_nothing(drawn, unseen):
    """Borders in equal steps up to infinity are none at all: each tree is one leaf."""
    frame = drawn.plain[["shift"]].assign(shift=np.where(drawn.plain["shift"] > 1, 1e300, drawn.plain["shift"]))
    model = zoo.classifier(3, feature_border_type="Uniform").fit(frame, drawn.binary)
    columns = numbered(["shift"])
    ours, theirs = answers(model, columns, Rows(unseen.plain[["shift"]].to_numpy(), np.empty((60, 0), dtype=object)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)
    assert len(set(theirs.tolist())) == 1


def test_a_subclass_is_refused_for_it_may_compute_anything(drawn):
    class Other(CatBoostClassifier):
        pass

    model = Other(iterations=2, **zoo.QUIET).fit(drawn.plain, drawn.binary)
    with pytest.raises(ConversionError, match="Other has no exact emitter"):
        emit(model, drawn.columns("plain"))


def test_a_regression_with_an_objective_of_ones_own_gives_its_raw_values(drawn, unseen):
    class Squares:
        def calc_ders_range(self, told, truth, weights):
            return [(y - x, -1.0) for x, y in zip(told, truth, strict=True)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba would make it faster
        model = zoo.regressor(3, loss_function=Squares(), eval_metric="RMSE").fit(drawn.missing, drawn.value)
    assert proof_of(model, drawn.columns("missing"), unseen.rows("missing")).passed


def test_both_kinds_are_known_by_name(fitted):
    fitted("CatBoost")
    families.load()
    assert {CatBoostClassifier, CatBoostRegressor} <= registry.registered()[1]
    assert CatBoostClassifier in estimators()


def test_nothing_is_left_behind(fitted, tmp_path, monkeypatch):
    model, columns = fitted("CatBoost")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = emit(model, columns).model
    assert emit(model, columns).model == first
    assert list(tmp_path.iterdir()) == []


# Planted faults: what an emitter of CatBoost might get wrong, each one found by the proof.


def told_otherwise(change):
    """CatBoost's export, changed."""

    def plant(patch):
        original = cat._exported

        def exported(step, where):
            told = original(step, where)
            change(told)
            return told

        patch.setattr(cat, "_exported", exported)

    return plant


def base_forgotten(told):
    told["scale_and_bias"][1] = [0] * len(told["scale_and_bias"][1])


def scale_forgotten(told):
    told["scale_and_bias"][0] = 1


def missing_below_all(told):
    for feature in told["features_info"]["float_features"]:
        feature["nan_value_treatment"] = "AsFalse"


def missing_above_all(told):
    for feature in told["features_info"]["float_features"]:
        feature |= {"nan_value_treatment": "AsTrue", "has_nans": True}


def first_answer_is_the_highest_bit(told):
    for one in told["oblivious_trees"]:
        one["splits"] = one["splits"][::-1]


def columns_shifted(told):
    features = told["features_info"]["float_features"]
    for feature in features:
        feature["flat_feature_index"] = (feature["flat_feature_index"] + 1) % len(features)


def sides_exchanged(told):
    def turn(node):
        if "split" in node:
            node["left"], node["right"] = node["right"], node["left"]
            turn(node["left"])
            turn(node["right"])

    for one in told["trees"]:
        turn(one)


def not_rounded(patch):
    def follow(graph, forest, base=(0.0,)):
        return follower.follow(graph, dataclasses.replace(forest, matrix=graph.matrix(forest.columns)), base)

    patch.setattr(cat, "follow", follow)


def rounded_too_much(patch):
    def gather(graph, forest):
        matrix = graph.double(graph.node("Cast", forest.matrix, to=10))  # half precision
        return follower.gather(graph, dataclasses.replace(forest, matrix=matrix))

    patch.setattr(cat, "gather", gather)


def softmax_for_one_against_all(patch):
    patch.setattr(cat, "logistic", cat.softmax)


def exponential_forgotten(patch):
    patch.setattr(cat, "curve", lambda _graph, _operator, raw, _width: raw)


PLANTED = [
    (told_otherwise(base_forgotten), "CatBoost regression", "CatBoost, two values"),
    (told_otherwise(scale_forgotten), "scaled and shifted"),
    (told_otherwise(missing_below_all), "CatBoost, missing highest"),
    (told_otherwise(missing_above_all), "CatBoost", "CatBoost, missing forbidden", "CatBoost, three classes"),
    (told_otherwise(first_answer_is_the_highest_bit), "CatBoost", "CatBoost, three classes", "CatBoost, Poisson"),
    (told_otherwise(columns_shifted), "CatBoost, depthwise", "CatBoost after codes"),
    (told_otherwise(sides_exchanged), "CatBoost, depthwise", "CatBoost, three classes, depthwise"),
    (not_rounded, "CatBoost", "CatBoost after codes"),
    (rounded_too_much, "CatBoost, three classes"),
    (softmax_for_one_against_all, "CatBoost, one against all"),
    (exponential_forgotten, "CatBoost, Poisson", "CatBoost, with uncertainty"),
]


@pytest.mark.parametrize("planted", PLANTED, ids=[str(i) for i in range(len(PLANTED))])
def test_planted_faults_are_found(fitted, unseen, planted, subtests):
    plant, *names = planted
    for name in names:
        with subtests.test(name), pytest.MonkeyPatch.context() as patch:
            model, columns = fitted(name)
            plant(patch)
            assert not proof_of(model, columns, unseen.rows(ENTRIES[name][1])).passed


@st.composite
def grids(draw):
    """Numbers on a coarse grid or not, with 0, tiny and huge numbers and missing ones among them, and a target."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(40, 90))
    numbers = rng.normal(size=(count, 3))
    if draw(st.booleans()):
        numbers = np.round(numbers * 2) / 2
    numbers[rng.random(numbers.shape) < 0.1] = draw(st.sampled_from([0.0, 1e-36, -1e-30, 1e-42, 3e38, -3.4e38]))
    for column in draw(st.sets(st.integers(0, 2))):
        numbers[rng.random(count) < 0.15, column] = np.nan
    target = np.argsort(np.argsort(np.clip(np.nan_to_num(numbers[:, 0]), -3, 3) + rng.normal(size=count) * 0.3))
    return numbers, target


@given(data=st.data(), drawn=grids())
@few
def test_random_small_regressions_have_their_very_bits(data, drawn):
    numbers, target = drawn
    model = zoo.regressor(
        data.draw(st.integers(1, 5)),
        nan_mode=data.draw(st.sampled_from(["Min", "Max"])),
        grow_policy=data.draw(st.sampled_from(["SymmetricTree", "Depthwise", "Lossguide"])),
        border_count=data.draw(st.sampled_from([3, 254])),
        learning_rate=data.draw(st.sampled_from([0.1, 1.0])),
    )
    frame = pd.DataFrame(numbers, columns=list("abc"))
    model.fit(frame, target)
    rows = Rows(numbers, np.empty((len(numbers), 0), dtype=object))
    assert proof_of(model, numbered(frame), rows).passed
    ours, theirs = answers(model, numbered(frame), rows)
    assert ours.tobytes() == theirs.tobytes()
