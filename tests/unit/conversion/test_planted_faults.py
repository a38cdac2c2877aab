"""Converters go wrong in known ways. Each of them, planted into an emitter, must be found by the proof of its models."""

import dataclasses
import warnings

import numpy as np
import pytest
from benchmarks.zoo import data, scikit_learn

from seakeep.conversion.emit import (
    bag,
    bins,
    boosting,
    calibrate,
    encode,
    forest,
    histogram,
    kernel,
    linear,
    power,
    registry,
    tree,
    trees,
    vote,
)
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.model import emit
from seakeep.conversion.native import native_scorer
from seakeep.conversion.parity import prove


def wrong_comparison(patch):
    """``<`` instead of ``<=``."""
    patch.setattr(tree, "_LESS_OR_EQUAL", 1)


def not_rounded(patch):
    """Values are not rounded to float32 before they are compared."""

    def single(graph, table, step, where, seen=None):
        columns, _, missing = original(graph, table, step, where, seen)
        return columns, graph.matrix(table.columns), missing

    original = trees.single
    for module in (trees, boosting, bag):
        patch.setattr(module, "single", single)


def rounded(patch):
    """All values are rounded to float32, as stock converters do."""

    def matrix(graph, columns):
        return graph.double(graph.node("Cast", original(graph, columns), to=1))

    original = Graph.matrix
    patch.setattr(Graph, "matrix", matrix)


def missing_turned(patch):
    """Missing values go to the other side."""

    def turned(grow):
        def grown(*parts):
            made = grow(*parts)
            return dataclasses.replace(made, missing_left=~made.missing_left)

        return grown

    grow = turned(trees.from_sklearn)
    for module in (trees, bag):
        patch.setattr(module, "from_sklearn", grow)
    patch.setattr(histogram, "_from_predictor", turned(histogram._from_predictor))


def categories_reversed(patch):
    """The codes of categories in the other order."""
    places, positions = encode._places, histogram._positions
    patch.setattr(encode, "_places", lambda step, i, count: places(step, i, count)[::-1])
    patch.setattr(histogram, "_positions", lambda categories: positions(categories[::-1]))


def unknown_as_known(patch):
    """An unknown category counts as the first one."""

    def write(graph, column, codes, *, unknown, where):
        return original(graph, column, codes, unknown=0.0, where=where)

    original = encode.encode
    for module in (encode, histogram):
        patch.setattr(module, "encode", write)


def averaged_wrongly(patch):
    """A sum is divided by another number than that of its parts."""
    patch.setattr(trees, "_divided", lambda graph, total, count: graph.node("Div", total, graph.number(count + 1)))
    patch.setattr(vote, "_mean", lambda graph, tensors, _: vote._summed(graph, tensors, None))
    patch.setattr(bag, "_averaged", lambda _, parts: parts[0])


def classes_exchanged(patch):
    """The leaves' shares belong to other classes."""

    def exchanged(graph, forest):
        grown = tuple(dataclasses.replace(one, value=np.roll(one.value, 1, axis=1)) for one in forest.trees)
        return original(graph, dataclasses.replace(forest, trees=grown))

    original = tree.gather
    for module in (trees, bag):
        patch.setattr(module, "gather", exchanged)


def edges_to_the_other_side(patch):
    """A value equal to an edge lies in the bin below it."""

    def stairs(edges, values, *, column, side):
        return original(edges, values, column=column, side="left" if side == "right" else "right")

    original = forest.staircase
    patch.setattr(tree, "staircase", stairs)


def base_forgotten(patch):
    """Boosting starts from zero."""
    follow = tree.follow
    for module in (boosting, histogram):
        patch.setattr(module, "follow", lambda graph, grown, base: follow(graph, grown, [0.0] * len(base)))


def logistic_for_softmax(patch):
    """Several classes by the logistic function."""
    for module in (linear, boosting, histogram, calibrate):
        patch.setattr(module, "softmax", module.logistic)


def quantiles_from_below_only(patch):
    """Equal quantiles count by their upper end."""
    original, calls = power.interpolate, []

    def once(graph, columns, points, where):
        calls.append(points)
        made = original(graph, columns, points if len(calls) % 2 else calls[-2], where)
        return made if len(calls) % 2 else graph.node("Neg", made)

    patch.setattr(power, "interpolate", once)


def other_of_every_pair(patch):
    """Of every pair the other class is chosen."""
    original = kernel._pairs
    patch.setattr(kernel, "_pairs", lambda dual, support: -original(dual, support))


def unclipped(patch):
    """Splines go on beyond the ends, and calibrated values are not cut off."""
    patch.setattr(bins, "_piece", lambda polynomial, _: polynomial.c[:, 0])
    patch.setattr(calibrate, "_on_curve", lambda _graph, _step, raw, _where: raw)


def first_class_for_second(patch):
    """The probability of the other class."""
    patch.setattr(registry, "positive", lambda graph, scored: graph.take(registry.probabilities(graph, scored), [0]))


PLANTED = [
    (
        wrong_comparison,
        "decision tree",
        "random forest, three classes",
        "isolation forest",
        "bagged trees",
        "AdaBoost",
        "AdaBoost regression",
        "gradient boosting, three classes",
        "histogram boosting regression",
        "calibrated forest, isotonic",
        "vote, value",
        "binariser",
    ),
    (not_rounded, "random forest regression", "gradient boosting", "bagged tree regression", "AdaBoost, three classes"),
    (rounded, "histogram boosting, Poisson", "histogram boosting, three classes", "bins, one-hot", "linear regression"),
    (missing_turned, "random forest, missing values", "isolation forest", "bagged trees", "histogram boosting, gamma"),
    (
        categories_reversed,
        "histogram boosting, native categories",
        "data frames between steps",
        "one-hot, imputed, scaled",
        "ordinal, rare grouped",
    ),
    (unknown_as_known, "histogram boosting, three classes", "one-hot, rare grouped", "target encoding of a value"),
    (averaged_wrongly, "extra trees regression", "vote, soft", "vote, value", "bagged ridges", "bagged votes"),
    (classes_exchanged, "random forest, three classes", "random forest, two values", "AdaBoost"),
    (edges_to_the_other_side, "binariser", "bins before a forest", "bins, one-hot"),
    (
        base_forgotten,
        "gradient boosting, three classes",
        "gradient boosting regression, Huber",
        "histogram boosting, quantile",
    ),
    (logistic_for_softmax, "logistic regression, three classes", "gradient boosting, three classes"),
    (quantiles_from_below_only, "quantiles, uniform, before a forest", "quantiles, normal"),
    (other_of_every_pair, "support vectors, three classes"),
    (unclipped, "splines", "calibrated support vectors"),
    (first_class_for_second, "random forest, balanced, one-hot", "naive Bayes, flags", "threshold, fixed"),
]


@pytest.fixture(scope="module")
def sample():
    return data.draw(400, 0)


@pytest.fixture(scope="module")
def unseen():
    return data.draw(100, 1)


@pytest.mark.parametrize(("plant", "name"), [(plant, name) for plant, *names in PLANTED for name in names])
def test_a_planted_fault_is_found(plant, name, sample, unseen, monkeypatch):
    monkeypatch.setattr("seakeep.conversion.parity._BASE_ROWS", 1)
    make, inputs, target = scikit_learn.MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(6).fit(getattr(sample, inputs), getattr(sample, target))
    plant(monkeypatch)
    emission = emit(model, sample.columns(inputs))
    scorer = native_scorer(model, sample.columns(inputs))
    proof = prove(scorer, emission, unseen.rows(inputs), threshold=0.5, artefact_sha256="")
    assert not proof.passed
    assert proof.worst["(kind)"]
