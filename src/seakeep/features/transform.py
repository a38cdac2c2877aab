"""Row-level expressions over columns: the one implementation, for training and for serving.

Results are float64 (numbers, and truth values as 1 and 0), object (``str``) or datetime64[us]. Missing values follow
these rules:

* arithmetic, comparison and ``abs``, ``log1p``, negation with a missing operand are missing;
* a result that is not a finite number (division by zero, logarithm of nothing, overflow) is missing;
* ``&`` and ``|`` are Kleene's: false & missing is false, true | missing is true, otherwise missing stays missing;
* ``~`` of missing is missing; ``is_missing`` is always 1 or 0;
* a number counts as true when it is not 0;
* ``fill`` gives its second operand where the first is missing;
* parts of a missing time are missing.

Whole numbers become float64: exact up to 2**53.

References
----------
Kleene, S. C. (1952), Introduction to Metamathematics, section 64 (three-valued connectives).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from typing import Literal as OneOf

import numpy as np

from seakeep.errors import DataError, did_you_mean
from seakeep.records.expression import Binary, Column, Constant, Expression, Unary
from seakeep.records.source import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = Mapping[str, "NDArray[Any]"]
Compiled = Callable[[Columns], "NDArray[Any]"]
ValueKind = OneOf["number", "string", "time"]

_HOUR_US = 3_600_000_000
_VALUE_KINDS: dict[Kind, ValueKind] = {
    "float": "number", "int": "number", "bool": "number", "string": "string", "time": "time"
}  # fmt: skip
_ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
_COMPARISONS = {
    "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal
}  # fmt: skip
_TIME_PARTS = ("hour", "minute", "weekday", "month")


def evaluate(expression: Expression, table: Columns) -> NDArray[Any]:
    """Values of an expression in every row.

    Parameters
    ----------
    table
        Normal-form columns, all of shape ``(n,)``: float64, int64, bool, object of ``str`` or datetime64[us].

    Returns
    -------
    numpy.ndarray
        Shape ``(n,)``: float64, object of ``str`` or datetime64[us].

    Raises
    ------
    DataError
        A column is not in the table, or an operator does not fit its operands.
    """
    kinds = {name: _VALUE_KINDS[_kind_of(values)] for name, values in table.items()}
    kind, faults = check(expression, kinds)
    if kind is None:
        raise DataError("; ".join(fault for fault, _ in faults), hint=faults[0][1])
    return compiled(expression)(table)


def value_kinds(kinds: Mapping[str, Kind]) -> dict[str, ValueKind]:
    """What expressions see of columns: numbers, strings and times."""
    return {name: _VALUE_KINDS[kind] for name, kind in kinds.items()}


def check(expression: Expression, kinds: Mapping[str, ValueKind]) -> tuple[ValueKind | None, list[tuple[str, str]]]:
    """What kind of value an expression gives over columns of these kinds.

    Returns
    -------
    tuple
        The kind and no fault, or None and every fault as (message, hint).
    """
    faults: list[tuple[str, str]] = []
    kind = _check(expression, kinds, faults)
    return (None if faults else kind), faults


def compiled(expression: Expression) -> Compiled:
    """A function from columns to values, without the checks: for expressions that :func:`check` has passed."""
    if isinstance(expression, Column):
        return _column(expression.name)
    if isinstance(expression, Constant):
        return _constant(expression.value)
    if isinstance(expression, Unary):
        operand = compiled(expression.operand)
        function = _UNARY[expression.name]
        return lambda table: function(operand(table))
    if isinstance(expression, Binary):
        return _binary(expression)
    raise DataError(f"{expression!r} is not an expression", hint="build it from seakeep.col")


def _kind_of(values: NDArray[Any]) -> Kind:
    kinds: dict[str, Kind] = {"f": "float", "i": "int", "b": "bool", "O": "string", "M": "time"}
    return kinds[values.dtype.kind]


# Checking


def _check(node: Expression, kinds: Mapping[str, ValueKind], faults: list[tuple[str, str]]) -> ValueKind | None:
    if isinstance(node, Column):
        if node.name not in kinds:
            faults.append((f"there is no column {node.name!r}", did_you_mean(node.name, kinds)))
        return kinds.get(node.name)
    if isinstance(node, Constant):
        return "string" if isinstance(node.value, str) else "number"
    if isinstance(node, Unary):
        return _check_unary(node, _check(node.operand, kinds, faults), faults)
    if isinstance(node, Binary):
        left, right = _check(node.left, kinds, faults), _check(node.right, kinds, faults)
        return _check_binary(node, left, right, faults)
    faults.append((f"{node!r} is not an expression", "build it from seakeep.col"))
    return None


def _check_unary(node: Unary, operand: ValueKind | None, faults: list[tuple[str, str]]) -> ValueKind:
    if operand is None or node.name == "is_missing":
        return "number"
    if node.name in _TIME_PARTS and operand != "time":
        faults.append((f".dt.{node.name}() needs a time, not a {operand}", "use it on a time column"))
    elif node.name not in _TIME_PARTS and operand != "number":
        faults.append((f"{node.name} needs a number, not a {operand}", _remedy(operand)))
    return "number"


def _check_binary(
    node: Binary, left: ValueKind | None, right: ValueKind | None, faults: list[tuple[str, str]]
) -> ValueKind:
    if node.name == "fill" and left is not None:
        if right is not None and left != right:
            faults.append((f"cannot fill a {left} with a {right}", "fill it with a value of its own kind"))
        return left
    if left is None or right is None:
        return "number"
    if node.name in _COMPARISONS:
        if left != right:
            faults.append((f"cannot compare a {left} with a {right}", "compare values of one kind"))
        elif left == "string" and node.name not in {"eq", "ne"}:
            faults.append(("strings have no order here", "compare them with == or !="))
        elif any(isinstance(side, Constant) and side.value == "" for side in (node.left, node.right)):
            faults.append(('a comparison with "" is always missing', "write .is_missing()"))
    else:
        faults.extend(
            (f"{node.name} needs numbers, not a {kind}", _remedy(kind)) for kind in (left, right) if kind != "number"
        )
    return "number"


def _remedy(kind: ValueKind) -> str:
    return "take a part of it, as in .dt.hour()" if kind == "time" else "compare it, as in col('carrier') == 'UA'"


# Evaluating


def _column(name: str) -> Compiled:
    def read(table: Columns) -> NDArray[Any]:
        values = table[name]
        return values if values.dtype.kind in "fOM" else values.astype(np.float64)

    return read


def _constant(value: float | str) -> Compiled:
    fill = value if isinstance(value, str) else float(value)
    dtype = object if isinstance(value, str) else np.float64

    def repeat(table: Columns) -> NDArray[Any]:
        return np.full(len(next(iter(table.values()))), fill, dtype=dtype)

    return repeat


def _binary(node: Binary) -> Compiled:
    left, right = _operand(node.left), _operand(node.right)
    if node.name in _ARITHMETIC:
        arithmetic = _ARITHMETIC[node.name]

        def calculate(table: Columns) -> NDArray[Any]:
            with np.errstate(all="ignore"):
                return _finite(arithmetic(left(table), right(table)), table)

        return calculate
    if node.name in _COMPARISONS:
        comparison = _COMPARISONS[node.name]
        return lambda table: _compare(comparison, left(table), right(table), table)
    if node.name == "fill":
        return lambda table: _fill(_rows(left(table), table), right(table))
    connective = _and if node.name == "and" else _or
    return lambda table: _rows(connective(left(table), right(table)), table)


def _operand(node: Expression) -> Callable[[Columns], Any]:
    # Constants stay scalars inside operations: numpy broadcasts them at no cost.
    if isinstance(node, Constant):
        value = node.value if isinstance(node.value, str) else np.float64(node.value)
        return lambda _: value
    return compiled(node)


def _rows(values: Any, table: Columns) -> NDArray[Any]:
    if np.ndim(values):
        return values  # type: ignore[no-any-return]
    return np.full(len(next(iter(table.values()))), values)


def _finite(values: Any, table: Columns) -> NDArray[np.float64]:
    values = _rows(values, table)
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, np.nan)


def _compare(comparison: Any, left: Any, right: Any, table: Columns) -> NDArray[np.float64]:
    result = _rows(comparison(left, right), table).astype(np.float64)
    gaps = _gaps(left) | _gaps(right)
    if gaps.any():
        result[np.broadcast_to(gaps, result.shape)] = np.nan
    return result


def _gaps(values: Any) -> Any:
    if isinstance(values, str):
        return np.bool_(values == "")
    kind = values.dtype.kind
    if kind == "O":
        return np.asarray(values == "", dtype=np.bool_)
    return np.isnat(values) if kind == "M" else np.isnan(values)


def _fill(left: NDArray[Any], right: Any) -> NDArray[Any]:
    gaps = _gaps(left)
    return np.where(gaps, right, left).astype(left.dtype) if gaps.any() else left


def _and(left: Any, right: Any) -> Any:
    false = (left == 0) | (right == 0)
    return np.where(false, 0.0, np.where(np.isnan(left) | np.isnan(right), np.nan, 1.0))


def _or(left: Any, right: Any) -> Any:
    true = _true(left) | _true(right)
    return np.where(true, 1.0, np.where(np.isnan(left) | np.isnan(right), np.nan, 0.0))


def _true(values: Any) -> Any:
    return (values != 0) & ~np.isnan(values)


def _not(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(np.isnan(values), np.nan, (values == 0).astype(np.float64))


def _is_missing(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(_gaps(values), dtype=np.float64)


def _log1p(values: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        result = np.log1p(values)
    return np.where(np.isfinite(result), result, np.nan)


def _part(part: Callable[[NDArray[np.int64]], NDArray[Any]]) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    def take(values: NDArray[Any]) -> NDArray[np.float64]:
        result = part(values.view(np.int64)).astype(np.float64)
        gaps = np.isnat(values)
        if gaps.any():
            result[gaps] = np.nan
        return result

    return take


def _month(moments: NDArray[np.int64]) -> NDArray[Any]:
    months: NDArray[Any] = moments.view("datetime64[us]").astype("datetime64[M]").view(np.int64)
    return months % 12 + 1


_UNARY: dict[str, Callable[[NDArray[Any]], NDArray[np.float64]]] = {
    "neg": np.negative,
    "not": _not,
    "is_missing": _is_missing,
    "abs": np.abs,
    "log1p": _log1p,
    "hour": _part(lambda moments: moments // _HOUR_US % 24),
    "minute": _part(lambda moments: moments // 60_000_000 % 60),
    # 1970-01-01 was a Thursday: day 3 when Monday is 0.
    "weekday": _part(lambda moments: (moments // (24 * _HOUR_US) + 3) % 7),
    "month": _part(_month),
}
