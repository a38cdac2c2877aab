"""Guesses what the columns of an unknown table are good for."""

from __future__ import annotations

import dataclasses
import keyword
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.data.schema import missing
from seakeep.data.table import Table
from seakeep.errors import ConfigError, did_you_mean
from seakeep.training.evaluate import roc_auc
from seakeep.training.suspicion import TOO_GOOD

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MANY_VALUES = 200
_LONG_TEXT = 40


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns with the outcome, the time and the key (``""``: none)."""

    label: str
    time: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to make of a table.

    Attributes
    ----------
    positive
        The text that is the positive outcome, or the number above which the outcome is; None: the outcome is a number.
    inputs
        Column by the name of its feature.
    numbers, categories
        Which columns are which.
    time_parts
        Part of the row's time by the name of its feature.
    left_out
        Reason by column.
    """

    columns: Columns
    positive: str | float | None
    inputs: dict[str, str]
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    time_parts: dict[str, str]
    left_out: dict[str, str]


def choose_columns(table: Table, columns: Columns, *, number: bool = False) -> Choice:
    """Decide which columns become features.

    Parameters
    ----------
    number
        Whether the outcome is a number, and no yes or no.

    Raises
    ------
    ConfigError
        The label, time or key cannot be used, or no column is left to learn from.
    """
    for role, name in (("label", columns.label), ("time", columns.time), ("key", columns.key)):
        if name and name not in table:
            raise ConfigError(f"the table has no {role} column {name!r}", hint=did_you_mean(name, table))
    if not len(table[columns.time]):
        raise ConfigError("the table has no rows", hint="give one with rows to learn from")
    _check_time(table, columns.time)
    if columns.key:
        _check_key(table, columns.key)
    label, positive = (_number if number else _label)(table, columns.label)
    used = {columns.label, columns.time, columns.key}
    reasons = {name: _reason(values, label, number=number) for name, values in table.items() if name not in used}
    kept = {name: table[name] for name, reason in reasons.items() if not reason}
    time_parts = _time_parts(table[columns.time])
    if not kept:
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "there are no others"
        raise ConfigError(f"no column is left to learn from ({told})", hint="write project.py by hand")
    inputs = _feature_names(kept, set(time_parts))
    return Choice(
        columns=columns,
        positive=positive,
        inputs=inputs,
        numbers=tuple(name for name, values in kept.items() if values.dtype.kind != "O"),
        categories=tuple(name for name, values in kept.items() if values.dtype.kind == "O"),
        time_parts=time_parts,
        left_out={name: reason for name, reason in reasons.items() if reason},
    )


def _check_time(table: Table, name: str) -> None:
    values = table[name]
    if values.dtype.kind != "M":
        raise ConfigError(
            f"time column {name!r} does not hold times, but for example {values.tolist()[0]!r}",
            hint="write them as 2013-07-15 06:00:00, in UTC",
        )
    if missing(values).any():
        raise ConfigError(f"time column {name!r} is missing in {int(missing(values).sum()):,} rows", hint="fill it")
    if len(np.unique(values)) < 2:
        raise ConfigError(f"time column {name!r} is the same in every row", hint="a model is judged on later rows")


def _check_key(table: Table, name: str) -> None:
    values = table[name]
    doubles = len(values) - len(np.unique(values))
    if values.dtype.kind not in "Oi" or missing(values).any() or doubles:
        raise ConfigError(
            f"key column {name!r} does not identify a row: {doubles:,} of {len(values):,} rows repeat a value, "
            f"{int(missing(values).sum()):,} have none",
            hint="choose a text or whole-number column with one value a row, or leave the key out",
        )


def _label(table: Table, name: str) -> tuple[NDArray[np.float64], str | float]:
    """The label as 1, 0 and NaN, and what is positive: of two texts the rarer, for that is what people ask about."""
    values = table[name]
    known = ~missing(values)
    distinct, counts = np.unique(values[known], return_counts=True)
    if len(distinct) != 2:
        raise ConfigError(
            f"label column {name!r} has {len(distinct):,} values; a label has two",
            hint="add a yes-or-no column to the table, or for a number choose a regressor: --estimator sklearn.linear_model.Ridge",
        )
    if values.dtype.kind == "M":
        raise ConfigError(f"label column {name!r} holds times", hint="choose a yes-or-no column")
    if values.dtype.kind == "O":
        positive = str(distinct[int(np.argmin(counts))])
        return np.where(known, (values == positive).astype(np.float64), np.nan), positive
    limit = (float(distinct[0]) + float(distinct[1])) / 2
    return np.where(known, (values > limit).astype(np.float64), np.nan), limit


def _number(table: Table, name: str) -> tuple[NDArray[np.float64], None]:
    """The label as it is, NaN where it is missing."""
    values = table[name]
    if values.dtype.kind not in "if":
        raise ConfigError(
            f"label column {name!r} holds no numbers, and a regressor predicts one",
            hint="choose another column, or a classifier",
        )
    told = np.where(missing(values), np.nan, values).astype(np.float64)
    if len(np.unique(told[~np.isnan(told)])) < 2:
        raise ConfigError(f"label column {name!r} is the same in every row", hint="choose a column to learn from")
    return told, None


def _reason(values: NDArray[Any], label: NDArray[np.float64], *, number: bool) -> str:
    """Why a column cannot be a feature, or ``""``."""
    known = ~missing(values)
    if not known.any():
        return "it is empty"
    distinct = len(np.unique(values[known]))
    if distinct == 1 and known.all():
        return "it is the same in every row"
    if values.dtype.kind == "M":
        return "it is a time; compare it with another, or take a part of it, as in .dt.hour()"
    if values.dtype.kind == "O":
        return _text_reason(values[known], distinct, label[known], number=number)
    if values.dtype.kind == "i" and distinct == len(values) and distinct > _MANY_VALUES:
        return "it has another value in every row, like a number that identifies it"
    told = known & ~np.isnan(label)
    tells = (_explains if number else _ranks)(values[told].astype(np.float64), label[told])
    return "it alone tells the outcome; was it known before?" if tells > TOO_GOOD else ""


def _ranks(values: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """How well the values put the outcomes in order, either way."""
    area = roc_auc(label, values)
    return max(area, 1 - area)


def _explains(values: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """How near the numbers are to a straight line through the values: the size of the correlation; 0 where there is none."""
    if len(values) < 3 or not (np.ptp(values) and np.ptp(label)):
        return 0.0
    return abs(float(np.corrcoef(values, label)[0, 1]))


def _text_reason(values: NDArray[np.object_], distinct: int, label: NDArray[np.float64], *, number: bool) -> str:
    if np.mean([len(value) for value in values.tolist()]) > _LONG_TEXT:
        return "it is free text"
    if distinct > max(_MANY_VALUES, len(values) // 20) or (distinct > 20 and distinct > len(values) // 2):
        return f"it has {distinct:,} different values, like a name that identifies the row"
    if number:
        return ""
    told = ~np.isnan(label)
    codes = np.unique(values[told], return_inverse=True)[1]
    rates = np.bincount(codes, label[told]) / np.bincount(codes)
    if len(values) >= 10 * distinct and bool(((rates == 0) | (rates == 1)).all()):
        return "it alone tells the outcome; was it known before?"
    return ""


def _time_parts(times: NDArray[Any]) -> dict[str, str]:
    hours = times.astype("datetime64[h]").astype(np.int64) % 24
    return {"hour": "hour", "weekday": "weekday"} if bool((hours != hours[0]).any()) else {"weekday": "weekday"}


def _feature_names(columns: Table, taken: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for column in columns:
        name = re.sub(r"\W+", "_", column.lower(), flags=re.ASCII).strip("_") or "column"
        if name[0].isdigit() or keyword.iskeyword(name):
            name = f"c_{name}"
        base, number = name, 2
        while name in found or name in taken:
            name, number = f"{base}_{number}", number + 1
        found[name] = column
    return found
