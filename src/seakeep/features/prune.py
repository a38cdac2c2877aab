"""A definition with fewer inputs: what a dropped one needed is computed no more."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from seakeep.errors import NotFoundError, did_you_mean
from seakeep.features.plan import view_columns
from seakeep.records.feature import FeatureView
from seakeep.records.model import ModelDefinition


def without(definition: ModelDefinition, names: Collection[str]) -> ModelDefinition:
    """The definition without some inputs, unresolved; views that give nothing any more are left out.

    Raises
    ------
    NotFoundError
        It has no such input.
    """
    known = [name for view in definition.views for name, _, _ in view_columns(view)] + [*definition.request_features]
    for name in names:
        if name not in known:
            raise NotFoundError(f"{definition.name} has no input {name!r}", hint=did_you_mean(name, known))
    views = [_view(view, names) for view in definition.views]
    return msgspec.structs.replace(
        definition,
        views=tuple(view for view in views if view.features),
        request_features={name: node for name, node in definition.request_features.items() if name not in names},
    )


def _view(view: FeatureView, names: Collection[str]) -> FeatureView:
    kept: dict[str, list[str]] = {}
    for name, feature, window in view_columns(view):
        if name not in names:
            kept.setdefault(feature, []).append(window)
    features = {
        feature: msgspec.structs.replace(view.features[feature], windows=tuple(windows))
        for feature, windows in kept.items()
    }
    return msgspec.structs.replace(view, features=features)
