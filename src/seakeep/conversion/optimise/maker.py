"""What makes candidates: a registry of makers by name, each with what it proposes for a model."""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from seakeep.errors import ConversionError
from seakeep.features.frame import Frame
from seakeep.records.optimise import Recipe
from seakeep.records.outputs import Outputs
from seakeep.training.fit import predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAMILIES = ("engine", "trees", "boosters", "int8", "distil", "perceptron")
"""Modules of makers, cheap ones first: what there is no time left for is left out."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What candidates are made of.

    Attributes
    ----------
    source
        The fitted estimator.
    outputs
        What it answers.
    learn
        Labelled rows that it was trained on.
    calibrate
        Rows to choose by.
    seed
        Of everything that is drawn.
    """

    source: Any
    outputs: Outputs
    learn: Frame
    calibrate: Frame
    seed: int

    def learnt(self, most: int) -> tuple[Frame, NDArray[np.float64]]:
        """At most so many evenly spread training rows, and the source's answers to them, float64 ``(n,)`` or ``(n, classes)``."""
        chosen = np.unique(np.linspace(0, len(self.learn) - 1, min(most, len(self.learn))).astype(np.int64))
        rows = self.learn.select(chosen)
        return rows, predict(self.source, rows, self.outputs)


class Maker(Protocol):
    """Makes one kind of candidate."""

    def proposals(self, material: Material) -> Iterator[Recipe]:
        """What is worth trying for this source; nothing if its kind does not fit."""
        ...

    def make(self, recipe: Recipe, material: Material) -> Any:
        """The estimator of a recipe: equal material gives equal bytes; ConversionError if it cannot be made."""
        ...


_MAKERS: dict[str, Maker] = {}


def maker(name: str) -> Callable[[type[Maker]], type[Maker]]:
    """Register a maker under the name that recipes know it by."""

    def keep(kind: type[Maker]) -> type[Maker]:
        _MAKERS[name] = kind()
        return kind

    return keep


def makers() -> dict[str, Maker]:
    """All makers by name."""
    for family in FAMILIES:
        importlib.import_module(f"seakeep.conversion.optimise.makers.{family}")
    return dict(_MAKERS)


def make(recipe: Recipe, material: Material) -> Any:
    """The estimator of a recipe; ConversionError if there is no such maker, or if it cannot be made."""
    found = makers().get(recipe.by)
    if found is None:
        raise ConversionError(f"nothing makes {recipe.by!r}", hint="it was made by another version of seakeep")
    return found.make(recipe, material)


def last_step(estimator: Any) -> Any:
    """The predictor at the end of a pipeline, or the estimator itself."""
    from sklearn.pipeline import Pipeline

    return last_step(estimator.steps[-1][1]) if type(estimator) is Pipeline else estimator


def with_last_step(estimator: Any, predictor: Any) -> Any:
    """The pipeline with another predictor at its end; its other steps are shared."""
    from sklearn.pipeline import Pipeline

    if type(estimator) is not Pipeline:
        return predictor
    changed = copy.copy(estimator)
    name, last = estimator.steps[-1]
    changed.steps = [*estimator.steps[:-1], (name, with_last_step(last, predictor))]
    return changed
