"""Every family of emitters; importing a family registers its emitters."""

from __future__ import annotations

import importlib
import sys

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
    "integer",
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


OTHERS = {"catboost": "cat", "lightgbm": "lgbm", "seakeep.training.network": "deep", "xgboost": "xgb"}
"""Families of other frameworks, by the module without which there is no estimator of it."""


def load() -> None:
    """Register the emitters of all families whose framework is in use: without it there is no estimator of it."""
    for name in SCIKIT_LEARN + tuple(family for framework, family in OTHERS.items() if framework in sys.modules):
        importlib.import_module(f"seakeep.conversion.emit.{name}")
