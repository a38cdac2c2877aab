"""What is known of pandas: each method that is carried out, and what it makes of a column's expression.

A method that is not here is not known, whatever it does: the reason is then its name.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.project.adoption import symbols
from seakeep.project.adoption.values import (
    Frame,
    Function,
    Made,
    Method,
    Opaque,
    Path,
    Scores,
    Series,
    Unknown,
)
from seakeep.records.expression import Binary, BinaryName, Column, Constant, Node, Unary, UnaryName

if TYPE_CHECKING:
    from numpy.typing import NDArray


OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.Mod: operator.mod, ast.FloorDiv: operator.floordiv, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.BitXor: operator.xor,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Eq: operator.eq,
    ast.NotEq: operator.ne, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
"""What each operator does, to numbers and to pandas' columns alike."""
_NAMES: dict[type, BinaryName] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.BitAnd: "and", ast.BitOr: "or",
    ast.Gt: "gt", ast.GtE: "ge", ast.Lt: "lt", ast.LtE: "le", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip
CALLED: dict[str, type] = {
    "add": ast.Add, "sub": ast.Sub, "mul": ast.Mult, "div": ast.Div, "gt": ast.Gt, "ge": ast.GtE, "lt": ast.Lt,
    "le": ast.LtE, "eq": ast.Eq, "ne": ast.NotEq,
}  # fmt: skip
_PLAIN = (str, int, float, bool, np.integer, np.floating, np.bool_)
CONCRETE = (list, dict, str, tuple, set, int, float, bool, range, np.generic, np.ndarray)
ARRAY_METHODS = {
    "tolist", "to_list", "to_numpy", "copy", "astype", "sort_values", "sort", "mean", "sum", "min", "max", "std", "argsort",
    "reshape", "ravel", "flatten", "difference", "drop", "union", "intersection", "isin", "append", "insert", "any", "all",
    "round", "unique", "nunique", "items", "keys", "get_loc", "head", "index", "idxmax", "argmax", "get",
}  # fmt: skip
BUILTIN = {
    "int": ("astype", (int,)), "float": ("astype", (float,)), "bool": ("astype", (bool,)), "abs": ("abs", ()),
    "round": ("round", ()),
}  # fmt: skip
"""What a builtin function is, called on a column (in a function that is applied to each value)."""


def length(value: Any) -> int:
    """``len``."""
    return len(value.data if isinstance(value, Frame | Series) else value)


def items(value: Any) -> Iterable[Any]:
    """What a loop over a value goes through."""
    import pandas as pd

    if isinstance(value, Frame):
        return list(value.columns)
    if isinstance(value, Scores | Path | Made | Opaque | Function | Series | Method):
        raise Unknown("it is gone through one by one", "work on whole columns")
    if isinstance(value, dict | list | tuple | set | str | range | zip | enumerate | np.ndarray | pd.Index):
        return list(value)
    if type(value).__name__ in {"dict_items", "dict_keys", "dict_values"}:
        return list(value)
    raise Unknown(f"a {type(value).__name__} is gone through one by one")


def node_of(value: Any) -> Node:
    """The expression of an operand: of a column, or a constant."""
    if isinstance(value, Series):
        if not value.steps:
            return value.node
        made = value.steps[0].made
        if len(value.steps) > 1 or not isinstance(made.built, float):
            raise Unknown("it is computed with a column after a transformer was fitted on it")
        made.folded = True
        return Binary("fill", value.node, Constant(made.built))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | float):
        return Constant(float(value))
    if isinstance(value, str):
        return Constant(value)
    raise Unknown(f"a column is combined with a {type(value).__name__}")


def _is_time(value: Any) -> bool:
    return isinstance(value, Series) and value.data.dtype.kind == "M"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Series) and is_text(value.data))


def is_text(data: Any) -> bool:
    """Whether a column of pandas holds text."""
    categories = getattr(data.dtype, "categories", data)
    return str(categories.dtype) in {"object", "str", "string"}


def binary(op: ast.operator | ast.cmpop, left: Any, right: Any) -> Any:
    """An operator between columns, or a column and a number or text."""
    if isinstance(left, Frame) or isinstance(right, Frame):
        raise Unknown("a whole table is computed with", "compute with one column after the other")
    if isinstance(op, ast.Pow) and isinstance(left, Series) and right == 2:
        return Series(left.data**2, Binary("mul", node_of(left), node_of(left)), left.rows)
    name = _NAMES.get(type(op))
    if name is None:
        raise Unknown(f"the operator {type(op).__name__} has no counterpart in features")
    _refuse_operands(name, left, right)
    first = left if isinstance(left, Series) else right
    data = OPERATORS[type(op)](_data(left), _data(right))
    if name in symbols.COMPARISONS:
        return Series(data, symbols.compare(name, node_of(left), node_of(right)), first.rows)
    return Series(data, Binary(name, node_of(left), node_of(right)), first.rows)


def _refuse_operands(name: str, left: Any, right: Any) -> None:
    for one in (left, right):
        if not isinstance(one, (Series, *_PLAIN)):
            raise Unknown(f"a column is combined with a {type(one).__name__}")
    if _is_time(left) or _is_time(right):
        raise Unknown("times are computed with", "take a part of the time, as in .dt.hour")
    if (_is_text(left) or _is_text(right)) and name not in {"eq", "ne"}:
        raise Unknown("texts are computed with", "features of text can be compared, mapped and encoded")
    if isinstance(left, Series) and isinstance(right, Series) and not np.array_equal(left.rows, right.rows):
        raise Unknown("columns of different rows are combined")


def unary(value: Series, op: ast.unaryop) -> Series:
    """``~`` and ``-``."""
    if isinstance(op, ast.Invert):
        if value.data.dtype != bool:
            raise Unknown("~ of a column that is not true or false")
        return Series(~value.data, Unary("not", node_of(value)), value.rows)
    if isinstance(op, ast.USub):
        return Series(-value.data, Unary("neg", node_of(value)), value.rows)
    raise Unknown("'not' of a whole column", "write ~")


def _data(value: Any) -> Any:
    return value.data if isinstance(value, Series) else value


def where(test: Series, yes: Any, no: Any) -> Series:
    """``numpy.where``, and a conditional expression that is applied to each value."""
    import pandas as pd

    if test.data.dtype != bool:
        raise Unknown("a choice by a column that is not true or false")
    if isinstance(yes, str) or isinstance(no, str):
        raise Unknown("a choice between texts", "choose between numbers, or keep the column as it is")
    a, b = node_of(yes), node_of(no)
    if not symbols.never_missing(a):
        opposite = Unary("not", node_of(test))
        if not symbols.never_missing(b):
            raise Unknown("a choice between two values that may both be missing", "fill one of them first")
        chosen = symbols.choose(opposite, b, a)
    else:
        chosen = symbols.choose(node_of(test), a, b)
    if symbols.is_constant(a) and symbols.is_constant(b) and (a.value, b.value) == (1.0, 0.0):
        chosen = node_of(test)
    data = pd.Series(np.where(test.data, _data(yes), _data(no)), index=test.data.index)
    return Series(data, chosen, test.rows)


# Attributes and subscripts


def attribute(value: Any, name: str) -> Any:
    """``value.name``."""
    if isinstance(value, Frame):
        return _frame_attribute(value, name)
    if isinstance(value, Series):
        if name in {"values", "array"}:
            return value
        return getattr(value.data, name) if name in {"shape", "dtype", "index", "name", "size"} else Method(value, name)
    if isinstance(value, Method) and value.name in {"dt", "str", "cat"}:
        return _accessor(value.of, value.name, name)
    if isinstance(value, Scores | Function | Path | Method | Opaque):
        raise Unknown(f"its .{name} is not known")
    return getattr(value, name) if name in {"shape", "size", "dtype", "T"} else Method(value, name)


def _frame_attribute(value: Frame, name: str) -> Any:
    if name in {"columns", "shape", "dtypes", "index", "size", "empty"}:
        return getattr(value.data, name)
    if name == "values":
        return as_array(value)
    if name in {"iloc", "loc"} or name not in value.columns:
        return Method(value, name)
    return value.column(name)


def as_array(frame: Frame) -> Frame:
    """The same as a matrix, without the names of its columns."""
    return Frame(frame.data.copy(), dict(frame.columns), frame.rows, frame.whole, array=True)


def _accessor(series: Series, kind: str, name: str) -> Any:
    parts: dict[str, UnaryName] = {
        "hour": "hour", "minute": "minute", "weekday": "weekday", "dayofweek": "weekday", "day_of_week": "weekday",
        "month": "month",
    }  # fmt: skip
    if kind == "dt" and name in parts:
        return Series(getattr(series.data.dt, name), Unary(parts[name], node_of(series)), series.rows)
    if kind == "cat" and name == "codes":
        categories = list(series.data.cat.categories)
        table = {key: float(code) for code, key in enumerate(categories)}
        node = Binary("fill", symbols.lookup(node_of(series), table), Constant(-1.0))
        return Series(series.data.cat.codes, node, series.rows)
    if kind == "dt":
        raise Unknown(f".dt.{name} has no counterpart in features", "there are .dt.hour, minute, weekday and month")
    raise Unknown(
        f".{kind}.{name} has no counterpart in features",
        "do it where the table is made, before the notebook reads it",
    )


def set_attribute(value: Any, name: str, given: Any) -> None:
    """``value.name = given``: names of columns."""
    if isinstance(value, Frame) and name == "columns":
        names = list(items(given))
        value.data.columns = names
        value.columns = dict(zip(names, value.columns.values(), strict=True))
        return
    raise Unknown(f"its .{name} is set")


def _select(frame: Frame, rows: Any) -> Frame:
    """Rows by a true-or-false column or array, or a slice of positions."""
    if isinstance(rows, Series):
        rows = rows.data.to_numpy()
    if isinstance(rows, slice):
        return frame.take(frame.data.iloc[rows].copy(), frame.rows[rows])
    rows = np.asarray(rows)
    if rows.dtype == bool and len(rows) == len(frame.data):
        return frame.take(frame.data[rows].copy(), frame.rows[rows])
    raise Unknown("rows are taken in a way that is not followed")


def subscript(value: Any, key: Any) -> Any:
    """``value[key]``."""
    import pandas as pd

    if isinstance(value, Method) and value.name in {"iloc", "loc"}:
        if isinstance(value.of, Series):
            return _of_series(value.of, key)
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        return (_positioned if value.name == "iloc" else _labelled)(value.of, rows, columns)
    if isinstance(value, Frame):
        return _of_frame(value, key)
    if isinstance(value, Series):
        return _of_series(value, key)
    if isinstance(value, Scores):
        if isinstance(key, tuple) and key == (slice(None), 1):
            return Scores(value.of)
        raise Unknown("probabilities of another class than the second are taken")
    if isinstance(value, (pd.Series, pd.Index, *CONCRETE)):
        parts: Any = value
        return parts[key]
    raise Unknown(f"a part of a {type(value).__name__} is taken")


def _of_frame(value: Frame, key: Any) -> Any:
    import pandas as pd

    if isinstance(key, list | pd.Index) or (isinstance(key, tuple) and key not in value.columns):
        names = list(key)
        missing = [name for name in names if name not in value.columns]
        if missing:
            raise Unknown(f"there is no column {missing[0]!r} here")
        return value.take(value.data[names].copy(), value.rows)
    if isinstance(key, Series | slice) or (isinstance(key, np.ndarray) and key.dtype == bool):
        return _select(value, key)
    return value.column(key)


def _of_series(value: Series, key: Any) -> Series:
    chosen = key.data.to_numpy() if isinstance(key, Series) else key
    if not isinstance(chosen, slice):
        chosen = np.asarray(chosen)
        if chosen.ndim != 1:
            raise Unknown("single values of a column are taken")
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen)
        elif not isinstance(value.data.index, range) and not np.array_equal(
            value.data.index, np.arange(len(value.data))
        ):
            raise Unknown("values of a column are taken by labels")
    return Series(value.data.iloc[chosen], value.node, value.rows[chosen], value.steps, value.name)


def _positioned(value: Frame, rows: Any, columns: Any) -> Any:
    """``iloc``."""
    if isinstance(rows, int):
        raise Unknown("a single row is taken")
    chosen = rows if isinstance(rows, slice) else np.asarray(rows)
    taken = value.take(value.data.iloc[chosen].copy(), value.rows[chosen])
    if isinstance(columns, int):
        return taken.column(list(taken.columns)[columns])
    names = list(taken.data.columns[columns])
    return taken.take(taken.data[names].copy(), taken.rows)


def _labelled(value: Frame, rows: Any, columns: Any) -> Any:
    """``loc``."""
    import pandas as pd

    taken = value
    if isinstance(rows, pd.Index) or (isinstance(rows, np.ndarray) and rows.dtype != bool):
        places = value.data.index.get_indexer(rows)
        if (places < 0).any() or not value.data.index.is_unique:
            raise Unknown("rows are taken by labels that are not all there")
        taken = value.take(value.data.iloc[places].copy(), value.rows[places])
    elif isinstance(rows, slice) and rows != slice(None):
        raise Unknown("rows are taken from one label to another", "take them by position: .iloc")
    elif not isinstance(rows, slice):
        taken = _select(value, rows)
    if isinstance(columns, slice):
        columns = list(taken.data.loc[:0, columns].columns)
    if isinstance(columns, list | pd.Index):
        return taken.take(taken.data[list(columns)].copy(), taken.rows)
    return taken.column(columns)


def store(value: Any, key: Any, given: Any) -> None:
    """``value[key] = given``."""
    import pandas as pd

    if isinstance(value, Method) and value.name == "loc":
        rows, column = key
        if isinstance(given, Opaque):
            raise Unknown(given.reason, given.hint, place=given.place)
        if not isinstance(rows, Series):
            raise Unknown("values of some rows are set")
        value.of.put(column, where(rows, given, value.of.column(column)))
    elif isinstance(value, Frame) and isinstance(key, list | pd.Index):
        _store_all(value, list(key), given)
    elif isinstance(value, Frame):
        _store_one(value, key, given)
    elif isinstance(value, dict | list):
        value[key] = given
    else:
        raise Unknown(f"a part of a {type(value).__name__} is set")


def _store_one(value: Frame, key: Any, given: Any) -> None:
    import pandas as pd

    if isinstance(given, Opaque):
        _put_opaque(value, key, given)
        return
    if isinstance(given, _PLAIN):
        data = pd.Series([given] * len(value.data), index=value.data.index)
        given = Series(data, node_of(given), value.rows)
    if isinstance(given, np.ndarray):
        raise Unknown(f"column {key!r} is set to an array that does not come from the row's columns")
    if not isinstance(given, Series):
        raise Unknown(f"column {key!r} is set to a {type(given).__name__}")
    value.put(key, Series(given.data.set_axis(value.data.index), given.node, given.rows, given.steps))


class _Hole(Column, frozen=True, eq=False, tag="hole"):
    """A column whose values are not known: a fault only if the model uses it."""

    opaque: Any


def _put_opaque(frame: Frame, key: Any, given: Opaque) -> None:
    """A column that is not known leaves the others known."""
    frame.data[key] = np.nan
    frame.columns[key] = (_Hole(str(key), given), ())


def hole(node: Node) -> Opaque | None:
    """Why a column is not known, if it is not."""
    pending: list[Node] = [node]
    while pending:
        one = pending.pop()
        if isinstance(one, _Hole):
            return one.opaque  # type: ignore[no-any-return]
        if isinstance(one, Unary):
            pending.append(one.operand)
        elif isinstance(one, Binary):
            pending += [one.left, one.right]
    return None


def _store_all(frame: Frame, names: list[Any], given: Any) -> None:
    if isinstance(given, Opaque):
        for name in names:
            _put_opaque(frame, name, given)
        return
    if not isinstance(given, Frame) or len(given.columns) != len(names) or given.whole:
        raise Unknown("several columns are set from something that is not as many known columns")
    for name, column in zip(names, list(given.columns), strict=True):
        one = given.column(column)
        frame.put(name, Series(one.data.set_axis(frame.data.index), one.node, one.rows, one.steps))


def rows_of(frame_before: Frame | Series, after: Any) -> NDArray[np.int64]:
    """Which rows are left after an operation that keeps the index."""
    if not frame_before.data.index.is_unique:
        raise Unknown("rows with the same label are told apart by nothing", "call reset_index(drop=True) first")
    places = frame_before.data.index.get_indexer(after.index)
    rows: NDArray[np.int64] = frame_before.rows[places]
    return rows


def constant_kind(value: Any) -> Any:
    """A value as pandas takes it; builtin types are known by their path."""
    if isinstance(value, Path):
        kinds = {"builtins.str": str, "builtins.int": int, "builtins.float": float, "builtins.bool": bool}
        if value.name in kinds:
            return kinds[value.name]
        raise Unknown(f"{value.name} is given where a value is needed")
    if isinstance(value, dict):
        return {key: constant_kind(one) for key, one in value.items()}
    if isinstance(value, Series | Frame | Made | Function | Method):
        raise Unknown("a value is given that is not known")
    return value
