"""Seakeep: from a notebook to a reliable production service, and healthy there.

``import seakeep as sk`` gives the words of a project file; :func:`open_project` gives every command as a Python call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seakeep.records import gate
from seakeep.records.expression import col
from seakeep.records.feature import FeatureView, RequestFeatures, count, latest, mean, total
from seakeep.records.model import AlertBudget, Canary, Label, Model, Threshold, TopShare
from seakeep.records.outputs import classes, number
from seakeep.records.source import Events

if TYPE_CHECKING:
    from seakeep.conversion.reading import Reading
    from seakeep.features.frame import Frame
    from seakeep.project import Project, open_project
    from seakeep.training.network import Network

__version__ = "0.1.0"

__all__ = [
    "AlertBudget",
    "Canary",
    "Events",
    "FeatureView",
    "Frame",
    "Label",
    "Model",
    "Network",
    "Project",
    "Reading",
    "RequestFeatures",
    "Threshold",
    "TopShare",
    "classes",
    "col",
    "count",
    "gate",
    "latest",
    "mean",
    "number",
    "open_project",
    "total",
]

_LAZY = {
    "Frame": "seakeep.features.frame",
    "Network": "seakeep.training.network",
    "Project": "seakeep.project",
    "Reading": "seakeep.conversion.reading",
    "open_project": "seakeep.project",
}


def __getattr__(name: str) -> Any:
    """Import the heavy public names when they are first used (PEP 562)."""
    if name not in _LAZY:
        message = f"module 'seakeep' has no attribute {name!r}"
        raise AttributeError(message)
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
