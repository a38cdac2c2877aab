"""Each maker: what it proposes for whom, and that what it makes is converted exactly, by the proof of its own."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.optimise.maker import FAMILIES, Material, last_step, make, makers, with_last_step
from seakeep.conversion.optimise.makers import engine
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError
from seakeep.records.optimise import Recipe
from seakeep.training.artefact import to_bytes
from seakeep.training.evaluate import roc_auc
from seakeep.training.fit import predict

from .conftest import MOST, NETWORKS, TREES, material


def proved(estimator, about):
    rows = Rows(about.calibrate.numbers(), about.calibrate.categories()).take(np.arange(60))
    emission = emit(estimator, about.learn.columns)
    scorer = native_scorer(estimator, about.learn.columns)
    return prove(scorer, emission, rows, threshold=0.4, artefact_sha256="")


def proposed(by, about):
    return list(makers()[by].proposals(about))


@pytest.fixture(autouse=True)
def _one_row_at_its_extremes(monkeypatch):
    monkeypatch.setattr("seakeep.conversion.parity._BASE_ROWS", 1)


@pytest.mark.parametrize("name", TREES)
def test_fewer_trees_are_the_first_of_the_source_and_the_source_stays_as_it_is(name):
    about = material(name)
    before = to_bytes(about.source)
    recipes = proposed("trees", about)
    assert [recipe.settings["trees"] for recipe in recipes] == [9, 6, 3, 1]
    assert recipes[1].told == f"6 of {MOST} trees"
    cut = make(recipes[1], about)
    assert to_bytes(about.source) == before
    again = make_pipeline(StandardScaler(), TREES[name](6))
    again.fit(about.learn.to_pandas(), about.learn.label)
    np.testing.assert_array_equal(
        predict(cut, about.calibrate, about.outputs), predict(again, about.calibrate, about.outputs)
    )
    proof = proved(cut, about)
    assert proof.passed, proof.worst
    assert proof.mutants == proof.mutants_caught > 0


def test_equal_material_gives_equal_bytes():
    about = material("network")
    for one in makers().values():
        for recipe in list(one.proposals(about))[-1:]:
            assert to_bytes(make(recipe, about)) == to_bytes(make(recipe, about)), recipe


@pytest.mark.parametrize("name", ["histogram", "histogram of numbers"])
@pytest.mark.parametrize("by", ["distil", "perceptron"])
def test_a_student_learns_what_the_source_answers(name, by):
    about = material(name)
    student = make(proposed(by, about)[-1], about)
    told, taught = (predict(one, about.calibrate, about.outputs) for one in (student, about.source))
    assert np.corrcoef(told, taught)[0, 1] > 0.6
    assert proved(student, about).passed
    if about.outputs.yes_or_no:
        assert roc_auc(about.calibrate.label, told) > 0.6


def test_students_of_soft_answers_are_as_sure_as_their_source():
    about = material("histogram")
    student = make(Recipe(by="distil", told="", settings={"trees": 20, "leaves": 8}), about)
    told, taught = (predict(one, about.learn, about.outputs) for one in (student, about.source))
    assert abs(told.mean() - taught.mean()) < 0.02


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scales", ["static", "dynamic"])
def test_integers_are_proved_to_the_bit_of_their_own_estimator_and_near_the_source(name, scales):
    about = material(name)
    recipe = next(one for one in proposed("int8", about) if one.settings["scales"] == scales)
    made = make(recipe, about)
    proof = proved(made, about)
    assert proof.passed, proof.worst
    assert proof.max_difference < 1e-12
    assert proof.mutants == proof.mutants_caught > 0
    told, taught = (predict(one, about.calibrate, about.outputs) for one in (made, about.source))
    assert np.abs(told - taught).max() < 0.1 * np.ptp(taught)
    assert emit(made, about.learn.columns).outputs == about.outputs


def test_each_maker_proposes_for_the_sources_it_fits_alone(monkeypatch):
    trees, network = material("histogram"), material("network")
    linear = Material(
        source=make_pipeline(StandardScaler(), LogisticRegression()).fit(trees.learn.to_pandas(), trees.learn.label),
        outputs=trees.outputs,
        learn=trees.learn,
        calibrate=trees.calibrate,
        seed=0,
    )
    fits = {by: [bool(proposed(by, one)) for one in (trees, network, linear)] for by in ("trees", "int8", "distil")}
    assert fits == {"trees": [True, False, False], "int8": [False, True, False], "distil": [True, True, True]}
    monkeypatch.setattr(engine.os, "cpu_count", lambda: 1)
    assert [recipe.told for recipe in proposed("engine", trees)] == ["graph level basic", "graph level extended"]
    assert make(proposed("engine", trees)[0], trees) is trees.source
    assert set(makers()) < {*FAMILIES, "trees"}


@pytest.mark.parametrize(
    ("recipe", "source", "message"),
    [
        (Recipe(by="magic", told=""), "histogram", "nothing makes 'magic'"),
        (Recipe(by="trees", told="", settings={"trees": 3}), "network", "no trees that can be cut"),
    ],
)
def test_a_recipe_that_does_not_fit_is_told(recipe, source, message):
    with pytest.raises(ConversionError, match=message) as caught:
        make(recipe, material(source))
    assert caught.value.hint


def test_networks_whose_last_bits_could_decide_a_rounding_are_not_quantised():
    about = material("network")
    network = last_step(about.source)
    curved = with_last_step(
        about.source, type(network)(hidden_layer_sizes=(4,), activation="tanh").fit([[0.0] * 4, [1.0] * 4], [0, 1])
    )
    tanh = Material(source=curved, outputs=about.outputs, learn=about.learn, calibrate=about.calibrate, seed=0)
    assert proposed("int8", tanh) == []
    with pytest.raises(ConversionError, match="tanh units"):
        make(Recipe(by="int8", told="", settings={"scales": "dynamic"}), tanh)


def test_the_last_step_is_found_and_changed_at_any_depth():
    inner = make_pipeline(StandardScaler(), LogisticRegression())
    outer = Pipeline([("first", StandardScaler()), ("then", inner)])
    other = LogisticRegression(C=2)
    assert last_step(outer) is inner.steps[-1][1]
    changed = with_last_step(outer, other)
    assert last_step(changed) is other
    assert last_step(outer) is not other
    assert with_last_step(inner.steps[-1][1], other) is other


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm", "catboost"])
def test_boosters_of_other_frameworks_are_cut_exactly(framework):
    module = pytest.importorskip(framework)
    import importlib

    from seakeep.conversion.optimise.makers import boosters

    importlib.reload(boosters)  # it may have been read before the framework was
    kind, settings = {
        "xgboost": ("XGBClassifier", {"n_estimators": 8, "max_depth": 2, "n_jobs": 1}),
        "lightgbm": ("LGBMClassifier", {"n_estimators": 8, "num_leaves": 4, "n_jobs": 1, "verbose": -1}),
        "catboost": ("CatBoostClassifier", {"iterations": 8, "depth": 2, "thread_count": 1, "verbose": False, "allow_writing_files": False}),
    }[framework]  # fmt: skip
    about = material("histogram")
    source = getattr(module, kind)(**settings).fit(about.learn.to_pandas(), about.learn.label.astype(int))
    own = Material(source=source, outputs=about.outputs, learn=about.learn, calibrate=about.calibrate, seed=0)
    before = predict(source, about.calibrate)
    cut = make(proposed("trees", own)[1], own)
    again = getattr(module, kind)(**settings | {"n_estimators" if framework != "catboost" else "iterations": 4})
    again.fit(about.learn.to_pandas(), about.learn.label.astype(int))
    if framework != "catboost":  # its learning rate depends on how many trees there are to be
        np.testing.assert_allclose(predict(cut, about.calibrate), predict(again, about.calibrate), atol=1e-6)
    assert np.abs(predict(cut, about.calibrate) - before).max() > 1e-3
    np.testing.assert_array_equal(predict(source, about.calibrate), before)
    proof = proved(cut, own)
    assert proof.passed, proof.worst
