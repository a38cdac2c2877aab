"""Every family of emitters; importing a family registers its emitters."""

from __future__ import annotations

import importlib

SCIKIT_LEARN = (
    "bag",
    "bayes",
    "bins",
    "boosting",
    "calibrate",
    "compose",
    "dummy",
    "encode",
    "expand",
    "function",
    "histogram",
    "impute",
    "kernel",
    "linear",
    "multiclass",
    "neighbours",
    "network",
    "power",
    "scale",
    "target",
    "text",
    "trees",
    "vote",
)


def load() -> None:
    """Register the emitters of all families."""
    for name in SCIKIT_LEARN:
        importlib.import_module(f"seakeep.conversion.emit.{name}")
