"""Holds a proof to account: a model in which one leaf or coefficient was changed a little must not pass it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.conversion.emit.forest import Forest
from seakeep.conversion.rows import Rows, spread
from seakeep.conversion.session import ScoringSession
from seakeep.conversion.witness import Walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.conversion.emit.graph import Product
    from seakeep.conversion.emit.model import Emission

CHANGES = 8
"""Leaves that are changed, one at a time, in trees evenly spread over the model; or coefficients."""
CHANGE = 1e-6
"""What is added to a leaf, or to the product of a coefficient and its input."""
CERTAIN = 1e-3
"""A score this close to 0 or 1 may hide a change."""


def mutants(emission: Emission, row: Rows, change: float | None = None) -> Iterator[ScoringSession]:
    """The model with one change that ``row`` shows: of a leaf that it reaches, or of a coefficient that it weighs.

    Of a network's weights it is not known which ones the row shows: some of them are changed.

    Parameters
    ----------
    row
        One row.
    change
        What is added; by default :data:`CHANGE`.
    """
    from onnx import load_from_string

    change = CHANGE if change is None else change
    fitted = [(forest, looked_at) for forest, looked_at in emission.forests if not forest.steps]
    parts: list[tuple[Forest | Product, bytes]] = [*fitted, *emission.products]
    few = max(1, CHANGES // max(1, len(parts)))
    if emission.weights:
        yield from _reweighted(emission, change)
    for part, looked_at in [parts[i] for i in spread(len(parts), CHANGES)]:
        matrix = _matrix(looked_at, row)
        found = _leaves(part, matrix, few) if isinstance(part, Forest) else _coefficients(part, matrix[0], few)
        for name, position, factor in found:
            model = load_from_string(emission.model)
            _change(model.graph, name, position, change * factor)
            yield ScoringSession(model.SerializeToString())


def _reweighted(emission: Emission, change: float) -> Iterator[ScoringSession]:
    """The model with one element of a float32 constant changed; of several constants in turn, the last ones first."""
    from onnx import load_from_string, numpy_helper

    names = emission.weights[::-1]
    few = max(1, CHANGES // len(names))
    for name in [names[i] for i in spread(len(names), CHANGES)]:
        model = load_from_string(emission.model)
        held = {one.name: one for one in model.graph.initializer}
        if name not in held:
            continue
        values = numpy_helper.to_array(held[name])
        for element in spread(values.size, few).tolist():
            changed = values.copy()
            changed.ravel()[element] += np.float32(change)
            held[name].CopyFrom(numpy_helper.from_array(changed, name))
            yield ScoringSession(model.SerializeToString())


def _matrix(looked_at: bytes, rows: Rows) -> NDArray[np.float64]:
    return ScoringSession(looked_at).score(rows.numbers, rows.categories)


def _leaves(forest: Forest, matrix: NDArray[np.float64], most: int) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """``(where, position, 1)`` of leaves that the row reaches; ``where`` is a constant or the node that holds them."""
    trees = forest.trees
    first = forest.base + np.cumsum([0, *(int(tree.is_leaf.sum()) for tree in trees)])
    for index in spread(len(trees), most).tolist():
        tree = trees[index]
        reached = int(np.flatnonzero((Walk(tree, matrix).witnesses() >= 0) & tree.is_leaf)[0])
        leaf = int(first[index] + tree.is_leaf[:reached].sum())
        yield (forest.table, (leaf, -1), 1.0) if forest.table else (f"{forest.node}/leaf_weights", (leaf,), 1.0)


def _coefficients(
    product: Product, values: NDArray[np.float64], most: int
) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Positions of coefficients that weigh a number other than 0, and what makes the change one of the product."""
    weighed = np.flatnonzero(values)
    for position in weighed[spread(len(weighed), most)].tolist():
        yield f"{product.output}/{product.weights}", (position, 0), 1 / float(values[position])


def _change(graph: Any, name: str, position: tuple[int, ...], change: float) -> None:
    """Change one element of a node's attribute (``node/attribute``), of its constant alone, or of a constant."""
    from onnx import numpy_helper

    node_name, _, part = name.rpartition("/")
    constants = {one.name: one for one in graph.initializer}
    nodes = [one for one in graph.node if node_name in one.output]
    if part not in constants:
        held = next(one for one in nodes[0].attribute if one.name == part).t
    else:  # the same numbers may serve as constants elsewhere too
        held = constants[part]
        users = nodes or [one for one in graph.node if part in one.input]
        place = list(users[0].input).index(part)
        users[0].input[place] = "changed"
    values = numpy_helper.to_array(held).copy()
    values[position] += change
    if part in constants:
        graph.initializer.append(numpy_helper.from_array(values, "changed"))
    else:
        held.CopyFrom(numpy_helper.from_array(values, held.name))
