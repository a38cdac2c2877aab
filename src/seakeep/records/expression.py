"""Row-level expressions: what a feature or a label computes from the columns of one row.

An expression is a value, not code: it is written with :func:`col` and ordinary operators, travels as JSON inside a
model's bundle, and is evaluated by one implementation (:mod:`seakeep.features.transform`) offline and online.
"""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec

BinaryName = OneOf["add", "sub", "mul", "div", "gt", "ge", "lt", "le", "eq", "ne", "and", "or", "fill"]
UnaryName = OneOf["neg", "not", "is_missing", "abs", "log1p", "hour", "minute", "weekday", "month"]


class Expression(msgspec.Struct, frozen=True, eq=False, tag_field="op"):
    """A node of an expression; combine nodes with ``+ - * / > >= < <= == != & | ~``."""

    def __add__(self, other: Expression | float | str) -> Binary:
        return Binary("add", as_node(self), as_node(other))

    def __radd__(self, other: Expression | float | str) -> Binary:
        return Binary("add", as_node(other), as_node(self))

    def __sub__(self, other: Expression | float | str) -> Binary:
        return Binary("sub", as_node(self), as_node(other))

    def __rsub__(self, other: Expression | float | str) -> Binary:
        return Binary("sub", as_node(other), as_node(self))

    def __mul__(self, other: Expression | float | str) -> Binary:
        return Binary("mul", as_node(self), as_node(other))

    def __rmul__(self, other: Expression | float | str) -> Binary:
        return Binary("mul", as_node(other), as_node(self))

    def __truediv__(self, other: Expression | float | str) -> Binary:
        return Binary("div", as_node(self), as_node(other))

    def __rtruediv__(self, other: Expression | float | str) -> Binary:
        return Binary("div", as_node(other), as_node(self))

    def __gt__(self, other: Expression | float | str) -> Binary:
        return Binary("gt", as_node(self), as_node(other))

    def __ge__(self, other: Expression | float | str) -> Binary:
        return Binary("ge", as_node(self), as_node(other))

    def __lt__(self, other: Expression | float | str) -> Binary:
        return Binary("lt", as_node(self), as_node(other))

    def __le__(self, other: Expression | float | str) -> Binary:
        return Binary("le", as_node(self), as_node(other))

    def __eq__(self, other: object) -> Binary:  # type: ignore[override]
        return Binary("eq", as_node(self), as_node(other))

    def __ne__(self, other: object) -> Binary:  # type: ignore[override]
        return Binary("ne", as_node(self), as_node(other))

    __hash__ = object.__hash__

    def __and__(self, other: Expression | float | str) -> Binary:
        return Binary("and", as_node(self), as_node(other))

    def __or__(self, other: Expression | float | str) -> Binary:
        return Binary("or", as_node(self), as_node(other))

    def __invert__(self) -> Unary:
        return Unary("not", as_node(self))

    def __neg__(self) -> Unary:
        return Unary("neg", as_node(self))

    def __bool__(self) -> bool:
        message = "an expression has no truth value; combine with & | ~ in place of 'and', 'or', 'not'"
        raise TypeError(message)

    @property
    def dt(self) -> TimeParts:
        """Parts of a time column, in UTC."""
        return TimeParts(self)

    def is_missing(self) -> Unary:
        """True where the value is missing (NaN, or the empty string)."""
        return Unary("is_missing", as_node(self))

    def fill(self, other: Expression | float | str) -> Binary:
        """The value, or ``other`` where it is missing."""
        return Binary("fill", as_node(self), as_node(other))

    def abs(self) -> Unary:
        """Absolute value."""
        return Unary("abs", as_node(self))

    def log1p(self) -> Unary:
        """Natural logarithm of one plus the value."""
        return Unary("log1p", as_node(self))


class Column(Expression, frozen=True, eq=False, tag="column"):
    """The value of a column of the row."""

    name: str


class Constant(Expression, frozen=True, eq=False, tag="constant"):
    """The same value in every row."""

    value: bool | float | str


class Unary(Expression, frozen=True, eq=False, tag="unary"):
    """A function of one value."""

    name: UnaryName
    operand: Node


class Binary(Expression, frozen=True, eq=False, tag="binary"):
    """A function of two values."""

    name: BinaryName
    left: Node
    right: Node


Node = Column | Constant | Unary | Binary


class TimeParts:
    """The ``.dt`` accessor: whole parts of a time column, in UTC."""

    def __init__(self, operand: Expression) -> None:
        self._operand = operand

    def hour(self) -> Unary:
        """Hour of the day, 0 to 23."""
        return Unary("hour", as_node(self._operand))

    def minute(self) -> Unary:
        """Minute of the hour, 0 to 59."""
        return Unary("minute", as_node(self._operand))

    def weekday(self) -> Unary:
        """Day of the week, Monday 0 to Sunday 6."""
        return Unary("weekday", as_node(self._operand))

    def month(self) -> Unary:
        """Month of the year, 1 to 12."""
        return Unary("month", as_node(self._operand))


def col(name: str) -> Column:
    """The column ``name`` of the row, to build features and labels from.

    Examples
    --------
    >>> late = col("arr_delay") > 15
    >>> columns_of(late)
    ('arr_delay',)
    """
    return Column(name)


def columns_of(expression: Expression) -> tuple[str, ...]:
    """Names of the columns an expression reads, each once, in the order of first use."""
    found: dict[str, None] = {}
    pending: list[Expression] = [expression]
    while pending:
        node = pending.pop()
        if isinstance(node, Column):
            found[node.name] = None
        elif isinstance(node, Unary):
            pending.append(node.operand)
        elif isinstance(node, Binary):
            pending.extend((node.right, node.left))
    return tuple(found)


def as_node(value: object) -> Node:
    """A value as a node of an expression; TypeError if it cannot be one."""
    if isinstance(value, (Column, Constant, Unary, Binary)):
        return value
    if isinstance(value, (bool, float, str)):
        return Constant(value)
    if isinstance(value, int):
        return Constant(float(value))
    message = f"cannot use {value!r} in an expression; use a column, a number, a string or a boolean"
    raise TypeError(message)
