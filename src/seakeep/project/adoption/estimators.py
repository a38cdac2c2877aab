"""What is known of the estimators of scikit-learn and its like: they are made, and transformers fitted, as the notebook does."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np

from seakeep.project.adoption import methods, symbols
from seakeep.project.adoption.values import (
    Fit,
    Frame,
    Function,
    Made,
    Method,
    Path,
    Reader,
    Scores,
    Series,
    Step,
    Unknown,
)

LIBRARIES = ("sklearn.", "xgboost.", "lightgbm.", "catboost.")
"""Whose objects are made here; what they are made of is known from the notebook."""

SEPARATE = {
    "sklearn.impute.SimpleImputer", "sklearn.preprocessing.StandardScaler", "sklearn.preprocessing.MinMaxScaler",
    "sklearn.preprocessing.RobustScaler", "sklearn.preprocessing.MaxAbsScaler",
}  # fmt: skip
"""Transformers that treat each column by itself."""

_MAKERS = {"make_pipeline", "make_union", "make_column_transformer", "make_column_selector"}


def make(reader: Reader, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Made:
    """An estimator, made here as the notebook makes it."""
    if name.startswith(("sklearn.metrics", "sklearn.datasets", "sklearn.inspection")):
        where = "the data come from scikit-learn" if ".datasets" in name else f"{name} is not followed"
        raise Unknown(where, "save the table as .csv beside the notebook, and read that" if ".datasets" in name else "")
    module, _, attribute = name.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise Unknown(
            f"{name} cannot be imported here", f"install {module.split('.')[0]}, or use another estimator"
        ) from error
    cuts = module.startswith("sklearn.model_selection") and hasattr(kind, "split")
    if not (attribute in _MAKERS or (isinstance(kind, type) and (hasattr(kind, "fit") or cuts))):
        raise Unknown(f"{name}() is not followed")
    made = Made(name, tuple(map(_plain, args)), {key: _plain(one) for key, one in kwargs.items()}, reader.place)
    made.built = kind(*map(built, made.args), **{key: built(one) for key, one in made.kwargs.items()})
    return made


def _plain(value: Any) -> Any:
    import pandas as pd

    if isinstance(value, Function):
        raise Unknown(
            "an estimator is given a function of the notebook's own, and what it computes cannot be served",
            "compute the column with pandas before, or use one of NumPy's own functions",
        )
    if isinstance(value, Series | Frame | Scores | Method):
        raise Unknown("an estimator is made of data")
    if isinstance(value, pd.Index | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return (
        value.item()
        if isinstance(value, np.generic)
        else float(value)
        if type(value).__name__ == "Statistic"
        else value
    )


def built(value: Any) -> Any:
    """An argument of an estimator as the library takes it."""
    if isinstance(value, Made):
        return value.built
    if isinstance(value, Path):
        module, _, name = value.name.rpartition(".")
        if module.split(".")[0] not in {"numpy", "sklearn", "builtins", "xgboost", "lightgbm"}:
            raise Unknown(f"{value.name} is given to an estimator, and is not known here")
        return getattr(importlib.import_module(module), name)
    if isinstance(value, list | tuple):
        return type(value)(map(built, value))
    if isinstance(value, dict):
        return {key: built(one) for key, one in value.items()}
    return value


def made_attribute(made: Made, name: str) -> Any:
    """An attribute of an estimator."""
    if made.fit is not None and name == "best_estimator_":
        return made
    if name.endswith("_") and not name.startswith("_"):
        raise Unknown(f"its .{name} is learnt, and not known here")
    return Method(made, name)


def call_made(reader: Reader, made: Made, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A method of an estimator."""
    if name == "fit" and len(args) == 1 and not kwargs and hasattr(made.built, "transform"):
        return _fit_transformer(made, args[0])
    if name == "fit":
        return _fit_model(reader, made, args, kwargs)
    if name == "set_params" and not made.fit:
        made.kwargs.update({key: _plain(one) for key, one in kwargs.items()})
        made.built.set_params(**{key: built(one) for key, one in kwargs.items()})
        return made
    if name == "fit_transform":
        _fit_transformer(made, args[0])
        return _transform(reader, made, args[0])
    if name == "transform":
        return _transform(reader, made, args[0])
    if name in {"predict", "predict_proba", "score"} and args and isinstance(args[0], Frame):
        reader.tables.append(_kept(args[0]))
    if name == "predict_proba" and made.fit:
        return Scores(made, both=True)
    if name == "predict" and made.fit:
        raise Unknown("it is what a model predicts")
    raise Unknown(f".{name}() of {made.path} is not followed")


def _fit_model(reader: Reader, made: Made, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Made:
    given = dict(zip(("X", "y"), args, strict=False)) | kwargs
    inputs, label = given.pop("X", None), given.pop("y", None)
    silent = {key: one for key, one in given.items() if key != "verbose"}
    # As they are now: the notebook may go on to change them, and to write predictions into them.
    made.fit = Fit(made, _kept(inputs), label, reader.place, "", silent)
    reader.tables += [made.fit.inputs, *map(_kept, list(reader.tables))]
    reader.fits.append(made.fit)
    for name, value in reader.names.items():
        if value is made:
            made.fit.name = name
    return made


def _kept(value: Any) -> Any:
    if isinstance(value, Frame):
        return Frame(value.data.copy(), dict(value.columns), value.rows, value.whole, value.array)
    return value


def _fit_transformer(made: Made, value: Any) -> Made:
    if isinstance(value, Series):
        if made.path != "sklearn.preprocessing.LabelEncoder":
            raise Unknown(f"{made.path} is fitted on a single column")
        made.built.fit(value.data)
        made.fitted_rows = value.rows
        return made
    if not isinstance(value, Frame):
        raise Unknown(f"{made.path} is fitted on something that is no known table")
    made.built.fit(value.data)
    made.fitted_rows = value.rows
    return made


def _transform(_reader: Reader, made: Made, value: Any) -> Any:
    import pandas as pd

    if made.fitted_rows is None:
        raise Unknown(f"{made.path} transforms before it is fitted")
    if isinstance(value, Series):
        codes = {key: float(code) for code, key in enumerate(made.built.classes_.tolist())}
        data = pd.Series(made.built.transform(value.data), index=value.data.index)
        return Series(data, symbols.lookup(methods.node_of(value), codes), value.rows, name=value.name)
    if not isinstance(value, Frame):
        raise Unknown(f"{made.path} transforms something that is no known table")
    out = made.built.transform(value.data)
    out = out.toarray() if hasattr(out, "toarray") else np.asarray(out)
    step = Step(made, made.fitted_rows)
    separate = made.path in SEPARATE and not value.whole and out.shape[1] == len(value.columns)
    names = list(value.columns) if separate else list(range(out.shape[1]))
    data = pd.DataFrame(out, index=value.data.index, columns=names)
    if separate:
        through = {
            key: (node, (*steps, dataclasses.replace(step, column=key))) for key, (node, steps) in value.columns.items()
        }
        return Frame(data, through, value.rows, array=True)
    # The columns of a whole are those before it: what it makes of them is the transformer's business.
    return Frame(data, dict(value.columns), value.rows, (*value.whole, step), array=True)
