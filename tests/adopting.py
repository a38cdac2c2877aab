"""Adopts model files in this process, where the libraries are loaded already: the cage is tried where it is the matter."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from tests.flights import forgotten

from seakeep.conversion import child, convert

ROWS = 1_000


def without_cage(patch: pytest.MonkeyPatch) -> None:
    """Let files be read in this process, with no limits."""
    patch.setattr(convert, "run_caged", lambda folder, *_, **__: child.run(folder))
    patch.setattr(child, "limit", lambda *_: None)
    patch.setattr(sys, "meta_path", list(sys.meta_path))


def sample() -> pd.DataFrame:
    """Customers of a shop, and whether they left (simulated)."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "monthly fee": rng.gamma(2.0, 20.0, ROWS).round(2),
        "age": rng.integers(18, 80, ROWS),
        "zone": rng.choice(["north", "south", "web"], ROWS),
    })  # fmt: skip
    table["left"] = ((table["monthly fee"] > 40) ^ (rng.random(ROWS) < 0.1)).astype(int)
    return table


def own_tests(folder: Path) -> list[str]:
    """Run the tests that a project brings, and give their names."""
    with forgotten():
        module = _imported(folder / "tests" / "test_project.py", "tests_of_the_project")
        names = [name for name, _ in inspect.getmembers(module, inspect.isfunction) if name.startswith("test_")]
        for name in names:
            getattr(module, name)()
    sys.modules.pop("train", None)
    return names


def _imported(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
