"""Curves and steps of the emitters: as accurate as NumPy's, with bits that do not depend on the batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from seakeep.conversion.emit import pointwise, power
from seakeep.conversion.emit.forest import staircase
from seakeep.conversion.emit.graph import Graph
from seakeep.conversion.emit.tree import cut
from seakeep.conversion.session import ScoringSession
from seakeep.conversion.witness import Walk

NOTHING = np.empty((0, 0), dtype=object)


def scored(write, values):
    """What ``write(graph, matrix, width)`` gives for a matrix."""
    width = values.shape[1]
    graph = Graph([str(i) for i in range(width)], ["number"] * width)
    output = write(graph, graph.matrix(graph.inputs.columns), width)
    session = ScoringSession(graph.model(output, width, flat=False))
    return lambda rows: session.score(rows, NOTHING)


WIDE = np.array([0.0, -0.0, 1e-300, 1e-20, 1e-9, 0.3, 1.0, 7.0, 30.0, 600.0, np.inf, np.nan])
CURVES = {
    "exp": (lambda g, m, w: pointwise.curve(g, "Exp", m, w), np.exp, np.concatenate([-WIDE, WIDE])),
    "log": (lambda g, m, w: pointwise.curve(g, "Log", m, w), np.log, WIDE),
    "log1p": (pointwise.log1p, np.log1p, np.concatenate([WIDE, -WIDE[:6]])),
    "expm1": (pointwise.expm1, np.expm1, np.concatenate([-WIDE, WIDE])),
    "logistic": (pointwise.logistic, special.expit, np.concatenate([-WIDE, WIDE])),
    "softmax": (pointwise.softmax, lambda v: special.softmax(v, axis=1), WIDE[:-2]),
    "normal quantile": (
        power._normal_quantile,
        special.ndtri,
        np.array([0, 1e-300, 1e-7, 0.07, 0.3, 0.5, 0.9, 1 - 1e-9, 1]),
    ),
}


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("name", CURVES)
def test_curves_are_accurate(name, width):
    write, expected, values = CURVES[name]
    values = np.resize(values, (len(values), width)) if width > 1 else values[:, None]
    with np.errstate(all="ignore"):
        truth = expected(values)
        found = scored(write, values)(values)
        size = np.where(np.isfinite(truth), np.maximum(np.abs(truth), 1e-300), 1.0)
        error = np.where((truth == found) | (np.isnan(truth) & np.isnan(found)), 0.0, np.abs(truth - found) / size)
    assert error.max() < 2e-15


@pytest.mark.parametrize("width", [1, 2, 5, 17])
@pytest.mark.parametrize("name", ["exp", "log", "log1p", "expm1", "logistic", "softmax"])
def test_the_bits_of_a_row_do_not_depend_on_its_batch(name, width):
    values = np.abs(np.random.default_rng(0).normal(size=(67, width))) + 0.1
    score = scored(CURVES[name][0], values)
    whole = score(values)
    for size in (1, 2, 7, 16):
        parts = [score(values[start : start + size]) for start in range(0, 67, size)]
        assert np.array_equal(np.concatenate(parts), whole)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20, unique=True).map(sorted),
    st.sampled_from(["left", "right"]),
)
def test_a_staircase_is_searchsorted(edges, side):
    edges = np.array(edges)
    values = np.arange(len(edges) + 1.0) * 3 - 1
    tree = staircase(edges, values, column=0, side=side)
    tried = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), [-1e9, 1e9]])
    reached = [int(np.flatnonzero((Walk(tree, np.array([[x]])).witnesses() >= 0) & tree.is_leaf)[0]) for x in tried]
    assert np.array_equal(tree.value[reached], values[np.searchsorted(edges, tried, side)])


def test_columns_are_cut_each_by_its_own_edges():
    edges = [np.array([0.0, 1.0]), np.empty(0), np.array([0.5])]
    steps = [(one, np.arange(len(one) + 1.0)) for one in edges]
    values = np.array([[-1.0, 5.0, 0.5], [0.0, -5.0, 0.6], [1.0, 0.0, 0.4], [2.0, 0.0, 9.0]])
    found = scored(lambda graph, _matrix, _width: cut(graph, graph.inputs.columns, steps, side="right"), values)(values)
    expected = [np.searchsorted(one, column, "right") for one, column in zip(edges, values.T, strict=True)]
    assert np.array_equal(found, np.column_stack(expected))
