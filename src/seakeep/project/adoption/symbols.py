"""What pandas computes of one row, as expressions of Seakeep that give the same number for every row, missing ones too.

The two differ in what is missing: pandas calls a comparison with NaN false (and ``!=`` true), Seakeep calls it missing; so
every comparison is filled. A choice is written with a division, since what is not finite is missing: ``a / (c = 1)`` is
``a`` to the bit, and ``a / (c = 0)`` is missing, which the other branch then fills.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeGuard

from seakeep.records.expression import Binary, BinaryName, Column, Constant, Expression, Node, Unary, as_node

COMPARISONS = frozenset({"gt", "ge", "lt", "le", "eq", "ne"})
_SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==",
    "ne": "!=", "and": "&", "or": "|",
}  # fmt: skip
_TIME_PARTS = frozenset({"hour", "minute", "weekday", "month"})


def compare(name: BinaryName, left: Node, right: Node) -> Node:
    """A comparison as pandas makes it: with a missing value only ``!=`` is true."""
    return Binary("fill", Binary(name, left, right), Constant(float(name == "ne")))


def choose(condition: Node, yes: Node, no: Node) -> Node:
    """``yes`` where a condition that is never missing holds, else ``no``; ``yes`` must not be missing where it holds."""
    return Binary("fill", Binary("div", yes, condition), no)


def lookup(value: Node, table: Mapping[str | float, float]) -> Node:
    """The number a table has for a value; missing where it has none."""
    total: Node | None = None
    known: Node | None = None
    for key, number in table.items():
        here = compare("eq", value, as_node(key))
        term = Binary("mul", here, Constant(float(number)))
        total = term if total is None else Binary("add", total, term)
        known = here if known is None else Binary("add", known, here)
    if total is None or known is None:
        return Constant(float("nan"))
    return Binary("div", total, known)


def within(value: Node, members: list[str | float]) -> Node:
    """1 where the value is one of the members, else 0."""
    found: Node = Constant(0.0)
    for place, member in enumerate(members):
        here = compare("eq", value, as_node(member))
        found = here if place == 0 else Binary("or", found, here)
    return found


def indicated(node: Node) -> tuple[Column, str] | None:
    """The text column and the text whose presence a node tells as 1 or 0, if it is such a node."""
    if (
        isinstance(node, Binary)
        and node.name == "fill"
        and isinstance(node.left, Binary)
        and node.left.name == "eq"
        and isinstance(node.left.left, Column)
        and isinstance(node.left.right, Constant)
        and isinstance(node.left.right.value, str)
        and node.left.right.value
    ):
        return node.left.left, node.left.right.value
    return None


def never_missing(node: Node) -> bool:
    """Whether a value cannot be missing, whatever the row."""
    if isinstance(node, Constant):
        return node.value == node.value and node.value != ""
    if isinstance(node, Unary):
        return node.name == "is_missing"
    if isinstance(node, Binary):
        if node.name == "fill":
            return never_missing(node.right)
        return node.name in {"and", "or"} and never_missing(node.left) and never_missing(node.right)
    return False


def source(node: Expression) -> str:
    """The Python source of an expression."""
    if isinstance(node, Column):
        return f"sk.col({_text(node.name)})"
    if isinstance(node, Constant):
        return _constant(node.value)
    if isinstance(node, Unary):
        return _unary(node)
    if isinstance(node, Binary) and node.name == "fill":
        return f"{_operand(node.left)}.fill({source(node.right)})"
    if isinstance(node, Binary):
        return f"{_operand(node.left)} {_SYMBOLS[node.name]} {_operand(node.right)}"
    message = f"{node!r} has no source"
    raise TypeError(message)


def _unary(node: Unary) -> str:
    inner = _operand(node.operand)
    if node.name in {"neg", "not"}:
        return f"{'-' if node.name == 'neg' else '~'}{inner}"
    return f"{inner}.dt.{node.name}()" if node.name in _TIME_PARTS else f"{inner}.{node.name}()"


def is_constant(node: object) -> TypeGuard[Constant]:
    """Whether a node is a constant."""
    return isinstance(node, Constant)


def _operand(node: Node) -> str:
    text = source(node)
    simple = isinstance(node, Column) or (isinstance(node, Constant) and not text.startswith("-"))
    called = isinstance(node, Unary) and node.name not in {"neg", "not"}
    filled = isinstance(node, Binary) and node.name == "fill"
    return text if simple or called or filled else f"({text})"


def _constant(value: float | str) -> str:
    if isinstance(value, str):
        return _text(value)
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
