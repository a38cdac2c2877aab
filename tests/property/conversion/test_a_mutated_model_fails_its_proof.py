"""Whatever reachable part of a model is changed so that some row may score otherwise, the proof finds such a row."""

import dataclasses
import functools

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.parity import prove
from seakeep.conversion.rows import Rows
from seakeep.conversion.session import ScoringSession
from seakeep.conversion.witness import Walk
from seakeep.records.feature import FeatureColumn

COLUMNS = tuple(
    FeatureColumn(name=name, kind="category" if name == "dest" else "number") for name in ("delay", "dest", "distance")
)
MODELS = {
    "hgb": lambda: make_pipeline(
        ColumnTransformer(
            [("cat", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["dest"])],
            remainder="passthrough",
        ),
        HistGradientBoostingClassifier(max_iter=8, categorical_features=[0]),
    ),
    "forest": lambda: make_pipeline(
        ColumnTransformer(
            [("cat", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["dest"])],
            remainder="passthrough",
        ),
        RandomForestClassifier(5, max_depth=6, random_state=0),
    ),
    "boosting": lambda: make_pipeline(
        ColumnTransformer(
            [("cat", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["dest"])],
            remainder=SimpleImputer(),
        ),
        GradientBoostingClassifier(n_estimators=8),
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _one_row_at_its_extremes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seakeep.conversion.parity._BASE_ROWS", 1)
        yield


@functools.cache
def case(name):
    """``(scorer, emission, rows, per tree which nodes some row comes by)``."""
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=(900, 2)) * [1, 1000]
    numbers[rng.random((900, 2)) < 0.1] = np.nan
    dest = np.array([f"d{i}" for i in range(40)], dtype=object)[rng.integers(0, 40, 900)]
    label = (np.nan_to_num(numbers[:, 0]) + (dest > "d25") + rng.normal(size=900) > 0.5).astype(int)
    data = pd.DataFrame({"delay": numbers[:, 0], "dest": dest, "distance": numbers[:, 1]})
    model = MODELS[name]().fit(data, label)
    rows = Rows(numbers, dest[:, None])
    emission = emit(model, COLUMNS)
    forest, looked_at = emission.forests[0]
    matrix = ScoringSession(looked_at).score(rows.numbers, rows.categories)
    met = [Walk(tree, matrix).witnesses() >= 0 for tree in forest.trees]
    return native_scorer(model, COLUMNS), emission, rows, met


def changed(emission, attribute, change):
    model = onnx.load_from_string(emission.model)
    trees = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    found = next(a for a in trees.attribute if a.name == attribute)
    if found.HasField("t"):
        values = numpy_helper.to_array(found.t).copy()
        change(values)
        found.t.CopyFrom(numpy_helper.from_array(values, found.t.name))
    else:
        values = np.array(found.ints)
        change(values)
        found.ints[:] = values.tolist()
    return dataclasses.replace(emission, model=model.SerializeToString())


def passes(name, emission):
    scorer, _, rows, _ = case(name)
    return prove(scorer, emission, rows, threshold=0.5, artefact_sha256="").passed


few = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def places(name, *, leaves):
    """``(tree, node, position in the model's arrays)`` of the nodes that some row comes by.

    The base is the model's first split and first leaf.
    """
    _, emission, _, met = case(name)
    found, position = [], 1
    for index, tree in enumerate(emission.forests[0][0].trees):
        chosen = tree.is_leaf if leaves else ~tree.is_leaf
        for node in np.flatnonzero(chosen):
            if met[index][node]:
                found.append((index, int(node), position))
            position += 1
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_unchanged_model_passes(name):
    assert passes(name, case(name)[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@few
def test_a_changed_leaf(name, data):
    _, _, position = data.draw(st.sampled_from(places(name, leaves=True)))
    delta = data.draw(st.sampled_from([1e-9, -1e-9, 1e-3, 1.0]))
    mutated = changed(
        case(name)[1], "leaf_weights", lambda values: values.__setitem__(position, values[position] + delta)
    )
    assert not passes(name, mutated)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@few
def test_a_threshold_moved_to_the_next_value_that_compares_otherwise(name, data):
    _, emission, _, _ = case(name)
    forest, _ = emission.forests[0]
    ordered = [
        place
        for place in places(name, leaves=False)
        if not forest.columns[forest.trees[place[0]].column[place[1]]].origin.choices
        and np.isfinite(forest.trees[place[0]].threshold[place[1]])
    ]
    _, _, position = data.draw(st.sampled_from(ordered))
    up = data.draw(st.booleans())

    def move(values):
        threshold = values[position]
        if not forest.single:
            values[position] = np.nextafter(threshold, np.inf if up else -np.inf)
            return
        nearest = np.float32(threshold)
        last = nearest if nearest <= threshold else np.nextafter(nearest, np.float32(-np.inf))
        values[position] = np.nextafter(last, np.float32(np.inf if up else -np.inf))

    assert not passes(name, changed(emission, "nodes_splits", move))


@pytest.mark.slow
@given(data=st.data())
@few
def test_a_category_moved_to_the_other_side(data):
    _, emission, rows, _ = case("hgb")
    forest, _ = emission.forests[0]
    sets = [place for place in places("hgb", leaves=False) if place[1] in forest.trees[place[0]].members]
    tree, node, _ = data.draw(st.sampled_from(sets))
    matrix = ScoringSession(emission.forests[0][1]).score(rows.numbers, rows.categories)
    by = [row for row in range(len(rows)) if Walk(forest.trees[tree], matrix[[row]]).witnesses()[node] >= 0]
    code = float(matrix[data.draw(st.sampled_from(by)), 0])
    if np.isnan(code):
        return
    members = [t.members[n] for t in forest.trees for n in np.flatnonzero(~t.is_leaf).tolist() if n in t.members]
    order = [(i, n) for i, t in enumerate(forest.trees) for n in np.flatnonzero(~t.is_leaf).tolist() if n in t.members]
    place = order.index((tree, node))
    members[place] = tuple(sorted(set(members[place]) ^ {code}))
    if not members[place]:
        return
    flat = np.concatenate([[*some, np.nan] for some in members])
    model = onnx.load_from_string(emission.model)
    trees = next(n for n in model.graph.node if n.op_type == "TreeEnsemble")
    found = next(a for a in trees.attribute if a.name == "membership_values")
    found.t.CopyFrom(numpy_helper.from_array(flat, found.t.name))
    assert not passes("hgb", dataclasses.replace(emission, model=model.SerializeToString()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hgb", "forest"])
@given(data=st.data())
@few
def test_missing_values_sent_to_the_other_side(name, data):
    _, emission, rows, _ = case(name)
    forest, _ = emission.forests[0]
    lacking = [
        place
        for place in places(name, leaves=False)
        if not forest.columns[forest.trees[place[0]].column[place[1]]].origin.choices
    ]
    tree, node, position = data.draw(st.sampled_from(lacking))

    def turn(values):
        values[position] = 1 - values[position]

    mutated = changed(emission, "nodes_missing_value_tracks_true", turn)
    every = rows.take(np.arange(len(rows)))
    every.numbers[:, forest.columns[forest.trees[tree].column[node]].origin.position] = np.nan
    before, after = (ScoringSession(e.model).score(every.numbers, every.categories) for e in (emission, mutated))
    assume(np.abs(before - after).max() > emission.tolerance)  # both sides may come to one value: the same model
    assert not passes(name, mutated)
