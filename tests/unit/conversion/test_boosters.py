"""XGBoost, LightGBM and CatBoost: every model of their zoos, random small ones, and planted faults; skipped without the extra."""

import dataclasses
import importlib
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn

pytestmark = pytest.mark.usefixtures("one_row_at_its_extremes")
SIZE = 8
FRAMEWORKS = ["xgboost", "lightgbm", "catboost"]
CODED = ["xgboost", "lightgbm"]
"""Those whose native categories are codes, which trees name."""
FAMILY = {"xgboost": ("XGBoost", "xgb"), "lightgbm": ("LightGBM", "lgbm"), "catboost": ("CatBoost", "cat")}
few = settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def zoo(framework):
    pytest.importorskip(framework, reason=f"needs the extra `{framework}`")
    return importlib.import_module(f"benchmarks.zoo.{framework}_models")


def fitted(entry, drawn):
    make, inputs, target = entry
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(SIZE).fit(getattr(drawn, inputs), getattr(drawn, target)), drawn.columns(inputs)


def proof_of(model, columns, rows):
    return prove(native_scorer(model, columns), emit(model, columns), rows, threshold=0.4, artefact_sha256="")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_model_of_the_zoo_answers_as_its_source_does(framework, drawn, unseen, subtests):
    models = zoo(framework)
    for name, entry in models.MODELS.items():
        with subtests.test(name):
            model, columns = fitted(entry, drawn)
            if name in models.REFUSED:
                with pytest.raises(ConversionError) as refusal:
                    emit(model, columns)
                assert refusal.value.hint
                continue
            proof = proof_of(model, columns, unseen.rows(entry[1]))
            assert proof.passed, (proof.worst, proof.max_difference)
            assert proof.mutants_caught == proof.mutants > 0
            assert {framework, f"{framework}-cpu"} & set(proof.versions)


@pytest.mark.parametrize("framework", CODED)
def test_native_categories_are_split_by_membership(framework, drawn):
    models = zoo(framework).MODELS
    name = next(name for name in models if name.endswith("native categories"))
    model, columns = fitted(models[name], drawn)
    ((forest, _),) = emit(model, columns).forests
    assert any(tree.members for tree in forest.trees)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_trees_after_the_best_iteration_are_left_out(framework, drawn):
    models = zoo(framework).MODELS
    name = next(name for name in models if name.endswith("stopped early"))
    model, columns = fitted(models[name], drawn)
    ((forest, _),) = emit(model, columns).forests
    counted = {"xgboost": "best_iteration", "lightgbm": "best_iteration_", "catboost": "best_iteration_"}
    best = getattr(model, counted[framework]) + (framework != "lightgbm")  # the others count from 0
    assert len(forest.trees) == best < SIZE * 3


@pytest.mark.parametrize("framework", CODED)
def test_a_data_frames_own_categories_are_refused(framework, drawn):
    zoo(framework)
    frame = drawn.full.assign(place=drawn.full["place"].astype("category"))
    if framework == "xgboost":
        from xgboost import XGBClassifier

        model = XGBClassifier(n_estimators=3, enable_categorical=True)
    else:
        from lightgbm import LGBMClassifier

        model = LGBMClassifier(n_estimators=3, verbose=-1)
    columns = [FeatureColumn(name=name, kind="number") for name in frame]
    with pytest.raises(ConversionError, match="data frame's own categories"):
        emit(model.fit(frame, drawn.binary), columns)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_planted_faults_are_found(framework, drawn, unseen, subtests):
    """``<`` for ``<=``, missing values on the other side, sums that are not averaged, trees that were stopped."""
    models = zoo(framework).MODELS
    plain, family = FAMILY[framework]
    module = importlib.import_module(f"seakeep.conversion.emit.{family}")
    tree = importlib.import_module("seakeep.conversion.emit.tree")

    def turned(graph, forest, base=(0.0,)):
        grown = tuple(dataclasses.replace(one, missing_left=~one.missing_left) for one in forest.trees)
        return tree.follow(graph, dataclasses.replace(forest, trees=grown), base)

    def one_less(graph, forest, base=(0.0,)):
        return tree.follow(graph, dataclasses.replace(forest, trees=forest.trees[:-1]), base)

    def rounded(graph, forest, base=(0.0,)):
        matrix = graph.double(graph.node("Cast", forest.matrix, to=10))  # half precision
        return tree.follow(graph, dataclasses.replace(forest, matrix=matrix), base)

    cases = [(turned, plain), (one_less, f"{plain}, stopped early")]
    if framework in CODED:
        cases += [(turned, f"{plain}, native categories"), (rounded, f"{plain}, three classes")]
    else:  # its classes' trees hold a number for each class and are followed otherwise
        cases += [(turned, f"{plain}, missing highest"), (turned, f"{plain}, depthwise"), (rounded, plain)]
    for plant, name in cases:
        with subtests.test(f"{plant.__name__}: {name}"), pytest.MonkeyPatch.context() as patch:
            model, columns = fitted(models[name], drawn)
            patch.setattr(module, "follow", plant)
            assert not proof_of(model, columns, unseen.rows(models[name][1])).passed
    with subtests.test("wrong comparison"), pytest.MonkeyPatch.context() as patch:
        model, columns = fitted(models[plain], drawn)
        patch.setattr(tree, "_LESS_OR_EQUAL", 1)
        assert not proof_of(model, columns, unseen.rows("missing")).passed


@st.composite
def grids(draw):
    """Numbers on a coarse grid or not, with 0, tiny numbers and missing ones among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(40, 90))
    numbers = rng.normal(size=(count, 3))
    if draw(st.booleans()):
        numbers = np.round(numbers * 2) / 2
    numbers[rng.random(numbers.shape) < 0.1] = draw(st.sampled_from([0.0, 1e-36, -1e-30, 1e-7]))
    if draw(st.booleans()):
        numbers[rng.random(numbers.shape) < 0.15] = np.nan
        numbers[0] = 0.5
    label = np.argsort(np.argsort(np.nan_to_num(numbers[:, 0]) + rng.normal(size=count) * 0.3))
    return numbers, label * draw(st.integers(2, 3)) // count


@pytest.mark.parametrize("framework", FRAMEWORKS)
@given(data=st.data(), drawn=grids())
@few
def test_random_small_models(framework, data, drawn):
    zoo(framework)
    numbers, label = drawn
    size, leaves = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 8))
    if framework == "xgboost":
        from xgboost import XGBClassifier

        missing = data.draw(st.sampled_from([np.nan, 0.0, 0.5]))
        booster = data.draw(st.sampled_from(["gbtree", "dart"]))
        model = XGBClassifier(n_estimators=size, max_leaves=leaves, missing=missing, booster=booster, rate_drop=0.5)
    elif framework == "catboost":
        from catboost import CatBoostClassifier

        policy = data.draw(st.sampled_from([{}, {"grow_policy": "Depthwise"}, {"grow_policy": "Lossguide"}]))
        nan_mode = data.draw(st.sampled_from(["Min", "Max"]))
        model = CatBoostClassifier(
            iterations=size, depth=leaves // 2, nan_mode=nan_mode, verbose=0, allow_writing_files=False, **policy
        )
    else:
        from lightgbm import LGBMClassifier

        kinds = [
            {},
            {"use_missing": False},
            {"zero_as_missing": True},
            {"linear_tree": True},
            {"boosting_type": "dart"},
        ]
        kinds.append({"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7})
        model = LGBMClassifier(
            n_estimators=size, num_leaves=leaves, min_child_samples=3, verbose=-1, **data.draw(st.sampled_from(kinds))
        )
    frame = pd.DataFrame(numbers, columns=list("abc"))
    columns = [FeatureColumn(name=name, kind="number") for name in frame]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame, label)
    proof = proof_of(model, columns, Rows(numbers, np.empty((len(numbers), 0), dtype=object)))
    assert proof.passed, proof
