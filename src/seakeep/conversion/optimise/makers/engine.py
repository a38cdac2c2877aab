"""The same model, executed otherwise: two threads, or a graph that the engine rewrites less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from seakeep.conversion.optimise.maker import Material, maker
from seakeep.records.optimise import Recipe


@maker("engine")
class Engine:
    """Nothing is made: the settings travel in the recipe, and from there into the model's metadata."""

    def proposals(self, material: Material) -> Iterator[Recipe]:  # noqa: ARG002 -- they fit every model
        """Two threads where there are two cores; the two lower levels."""
        if (os.cpu_count() or 1) > 1:
            yield Recipe(by="engine", told="2 threads", settings={"threads": 2})
        for level in ("basic", "extended"):
            yield Recipe(by="engine", told=f"graph level {level}", settings={"level": level})

    def make(self, recipe: Recipe, material: Material) -> Any:  # noqa: ARG002 -- as its siblings
        """The source itself."""
        return material.source
