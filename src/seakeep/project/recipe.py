"""How to train an estimator known only by its path: the preparation of columns that it needs."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from typing import Any

from seakeep.errors import ConfigError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A train function's imports and body.

    Attributes
    ----------
    categories, numbers
        Whether there are inputs of the kind.
    missing
        Whether the estimator takes missing numbers and codes of categories as they are (as trees do).
    number
        Whether it predicts a number, and no probability.
    """

    imports: tuple[str, ...]
    call: str
    categories: bool
    numbers: bool
    missing: bool
    number: bool = False

    def body(self) -> list[str]:
        """Lines that bind ``model`` to an estimator which has not been fitted, for the columns that ``frame`` has."""
        if not self.missing:
            return _scaled(self.call, categories=self.categories, numbers=self.numbers)
        if not self.categories:
            return [f"model = {self.call}"]
        return [
            _of_kind("categories", "category"),
            'codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)',
            'columns = ColumnTransformer([("codes", codes, categories)], remainder="passthrough")',
            f'model = Pipeline([("columns", columns), ("model", {self.call})])',
        ]


def recipe_for(estimator: str, *, categories: bool, numbers: bool) -> Recipe:
    """Look at an estimator's class, and say how to train it.

    Raises
    ------
    ConfigError
        There is no such class, it is neither a classifier with probabilities nor a regressor, or it could not be converted.
    """
    from seakeep.conversion.emit.model import estimators

    kind, number = _import(estimator), predicts_number(estimator)
    if not (inspect.isclass(kind) and hasattr(kind, "fit") and (number or hasattr(kind, "predict_proba"))):
        raise ConfigError(
            f"{estimator} is not a class of classifiers, which need fit and predict_proba, nor of regressors",
            hint="as in sklearn.ensemble.HistGradientBoostingClassifier, or HistGradientBoostingRegressor",
        )
    if kind not in estimators():
        known = ", ".join(sorted(one.__name__ for one in estimators()))
        raise ConfigError(
            f"{estimator} can be trained, but not converted: it has no exact emitter",
            hint=f"use {known}; or write train yourself and serve it natively: seakeep convert --native",
        )
    module, _, name = estimator.rpartition(".")
    seeded = "random_state" in inspect.signature(kind).parameters
    missing = _takes_missing(kind)
    imports = [f"from {module} import {name}"]
    if not missing:
        imports += ["from sklearn.compose import ColumnTransformer", "from sklearn.pipeline import Pipeline"]
        imports += ["from sklearn.impute import SimpleImputer"] if numbers else []
        prepared = (["OneHotEncoder"] if categories else []) + (["StandardScaler"] if numbers else [])
        imports.append(f"from sklearn.preprocessing import {', '.join(prepared)}")
    elif categories:
        imports += ["from sklearn.compose import ColumnTransformer", "from sklearn.pipeline import Pipeline"]
        imports.append("from sklearn.preprocessing import OrdinalEncoder")
    return Recipe(
        imports=tuple(imports),
        call=f"{name}({'random_state=0' if seeded else ''})",
        categories=categories,
        numbers=numbers,
        missing=missing,
        number=number,
    )


def predicts_number(estimator: str) -> bool:
    """Whether the class of this path is one of regressors; raises ConfigError if there is none."""
    from seakeep.conversion.emit.model import is_regressor_class

    return is_regressor_class(_import(estimator))


def _import(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"cannot import {path!r}", hint="give the full path, as in sklearn.linear_model.LogisticRegression"
        ) from error


def _takes_missing(kind: Any) -> bool:
    from sklearn.utils import get_tags

    try:
        return bool(get_tags(kind()).input_tags.allow_nan)
    except (TypeError, AttributeError):
        return False


def _of_kind(name: str, kind: str) -> str:
    return f'{name} = [column.name for column in frame.columns if column.kind == "{kind}"]'


def _scaled(call: str, *, categories: bool, numbers: bool) -> list[str]:
    lines, steps = [], []
    if numbers:
        lines += [
            _of_kind("numbers", "number"),
            'scale = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())])',
        ]
        steps.append('("scale", scale, numbers)')
    if categories:
        lines += [
            _of_kind("categories", "category"),
            'codes = OneHotEncoder(handle_unknown="ignore", sparse_output=False)',
        ]
        steps.append('("codes", codes, categories)')
    return [
        *lines,
        f"columns = ColumnTransformer([{', '.join(steps)}])",
        f'model = Pipeline([("columns", columns), ("model", {call})])',
    ]
