"""Reads a notebook's statements one after another, carrying out the known ones on the data.

This is an abstract interpretation with the data at hand (concolic, as Godefroid, Klarlund and Sen call it: DART, PLDI 2005):
conditions and loops are followed as the data lead, every column keeps the expression it came by, and so what the model
depends on is found by construction: a backward slice over names, attributes and stored columns alike.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from seakeep.project.adoption import estimators, libraries, methods
from seakeep.project.adoption.notebook import UNKNOWN, Place
from seakeep.project.adoption.statements import LoopLeft, Returned, Statements
from seakeep.project.adoption.values import (
    Frame,
    Function,
    Made,
    Method,
    Opaque,
    Path,
    Scores,
    Series,
    Statistic,
    Unknown,
)

_BUILTINS: dict[str, Callable[..., Any]] = {
    "len": methods.length, "range": range, "list": list, "dict": dict, "set": set, "sorted": sorted, "zip": zip,
    "enumerate": enumerate, "int": int, "float": float, "str": str, "round": round, "sum": sum, "min": min, "max": max,
    "abs": abs, "tuple": tuple, "bool": bool, "any": any, "all": all,
}  # fmt: skip
_SYMBOLIC = (Series, Frame, Scores, Made, Opaque, Path, Function, Method)


class Interpreter(Statements):
    """Reads a notebook; afterwards its attributes tell what was found."""

    def _truth(self, test: ast.expr) -> bool:
        value = self._known(self._value(test))
        if isinstance(value, _SYMBOLIC):
            raise Unknown("a condition depends on a value that is not known")
        return bool(value)

    # Values

    def _value(self, node: ast.expr) -> Any:
        method = getattr(self, f"_of_{type(node).__name__}", None)
        here = Place(self._cell, node.lineno)
        if method is None:
            return Opaque(f"an expression of the kind {type(node).__name__} is not followed", here)
        try:
            return method(node)
        except Unknown as unknown:
            return Opaque(unknown.reason, unknown.place or here, unknown.hint)
        except (Returned, LoopLeft):
            raise
        except Exception as error:  # noqa: BLE001 -- the border to the notebook's own data and calls
            return Opaque(f"it ends with {type(error).__name__}: {error}", here)

    def _of_Constant(self, node: ast.Constant) -> Any:  # noqa: N802 -- named for the node
        return node.value

    def _of_Name(self, node: ast.Name) -> Any:  # noqa: N802 -- named for the node
        for scope in (self._scopes[-1], self.names):
            if node.id in scope:
                return scope[node.id]
        if node.id == UNKNOWN:
            raise Unknown(
                "a magic or a shell line gives it", "read the data in Python, from a file beside the notebook"
            )
        if node.id in _BUILTINS:
            return Path(f"builtins.{node.id}")
        raise Unknown(f"{node.id} is not known here")

    def _of_Attribute(self, node: ast.Attribute) -> Any:  # noqa: N802 -- named for the node
        value = self._known(self._value(node.value))
        if isinstance(value, Path):
            return libraries.constant(f"{value.name}.{node.attr}")
        if isinstance(value, Made):
            return estimators.made_attribute(value, node.attr)
        return methods.attribute(value, node.attr)

    def _of_Subscript(self, node: ast.Subscript) -> Any:  # noqa: N802 -- named for the node
        value = self._known(self._value(node.value))
        return methods.subscript(value, self._known(self._value(node.slice)))

    def _of_Slice(self, node: ast.Slice) -> Any:  # noqa: N802 -- named for the node
        return slice(*(self._known(self._value(one)) if one else None for one in (node.lower, node.upper, node.step)))

    def _all(self, nodes: list[ast.expr]) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from methods.items(self._known(self._value(node.value)))
            else:
                yield self._known(self._value(node))

    def _of_List(self, node: ast.List) -> Any:  # noqa: N802 -- named for the node
        return list(self._all(node.elts))

    def _of_Tuple(self, node: ast.Tuple) -> Any:  # noqa: N802 -- named for the node
        return tuple(self._all(node.elts))

    def _of_Set(self, node: ast.Set) -> Any:  # noqa: N802 -- named for the node
        return set(self._all(node.elts))

    def _of_Dict(self, node: ast.Dict) -> Any:  # noqa: N802 -- named for the node
        if any(key is None for key in node.keys):
            raise Unknown("a dictionary is made of others")
        keys = [self._known(self._value(key)) for key in node.keys if key is not None]
        return dict(zip(keys, [self._known(self._value(value)) for value in node.values], strict=True))

    def _of_JoinedStr(self, node: ast.JoinedStr) -> Any:  # noqa: N802 -- named for the node
        parts = []
        for one in node.values:
            value = self._known(self._value(one.value if isinstance(one, ast.FormattedValue) else one))
            plain = isinstance(value, str | int) and not (isinstance(one, ast.FormattedValue) and one.format_spec)
            if not plain:
                raise Unknown("a text is made of values that are no texts")
            parts.append(str(value))
        return "".join(parts)

    def _of_Lambda(self, node: ast.Lambda) -> Any:  # noqa: N802 -- named for the node
        return Function(node, self._cell)

    def _of_IfExp(self, node: ast.IfExp) -> Any:  # noqa: N802 -- named for the node
        test = self._known(self._value(node.test))
        if isinstance(test, Series):
            yes, no = self._known(self._value(node.body)), self._known(self._value(node.orelse))
            return methods.where(test, yes, no)
        return self._value(node.body if self._truth(node.test) else node.orelse)

    def _of_BoolOp(self, node: ast.BoolOp) -> Any:  # noqa: N802 -- named for the node
        value: Any = None
        for place, one in enumerate(node.values):
            value = self._known(self._value(one))
            if isinstance(value, Series):
                raise Unknown("'and' and 'or' decide for a whole column", "combine columns with & and |")
            if place < len(node.values) - 1 and bool(value) != isinstance(node.op, ast.And):
                return value
        return value

    def _of_UnaryOp(self, node: ast.UnaryOp) -> Any:  # noqa: N802 -- named for the node
        value = self._known(self._value(node.operand))
        if isinstance(value, Series):
            return methods.unary(value, node.op)
        if isinstance(node.op, ast.Not):
            return not value
        return -value if isinstance(node.op, ast.USub) else ~value if isinstance(node.op, ast.Invert) else +value

    def _of_BinOp(self, node: ast.BinOp) -> Any:  # noqa: N802 -- named for the node
        return self._binary(node.op, self._value(node.left), self._value(node.right))

    def _binary(self, op: ast.operator | ast.cmpop, left: Any, right: Any) -> Any:
        left, right = self._known(left), self._known(right)
        if isinstance(left, Scores) or isinstance(right, Scores):
            return self._threshold(op, left, right)
        if isinstance(left, Series | Frame) or isinstance(right, Series | Frame):
            for one in (left, right):
                if isinstance(one, Statistic):
                    self.tell(f"the {one.strategy} of {one.of.name!r} becomes a constant, which a new training keeps")
            return methods.binary(op, left, right)
        if isinstance(left, _SYMBOLIC) or isinstance(right, _SYMBOLIC):
            raise Unknown("something that is no column is computed with")
        return methods.OPERATORS[type(op)](left, right)

    def _of_Compare(self, node: ast.Compare) -> Any:  # noqa: N802 -- named for the node
        if len(node.ops) != 1:
            return self._chain(node)
        return self._binary(node.ops[0], self._value(node.left), self._value(node.comparators[0]))

    def _chain(self, node: ast.Compare) -> Any:
        """``a < b < c`` is ``(a < b) and (b < c)``; of columns, as in a function that is applied to each value, it is &."""
        operands = [self._value(one) for one in (node.left, *node.comparators)]
        found = [self._binary(op, operands[i], operands[i + 1]) for i, op in enumerate(node.ops)]
        result = found[0]
        for one in found[1:]:
            result = self._binary(ast.BitAnd(), result, one)
        return result

    def _threshold(self, op: ast.operator | ast.cmpop, left: Any, right: Any) -> Any:
        import math

        if isinstance(left, Scores) and isinstance(op, ast.Gt | ast.GtE) and isinstance(right, int | float):
            score = float(right) if isinstance(op, ast.GtE) else math.nextafter(float(right), math.inf)
            self.thresholds.append((self.place, left.of, score))
        raise Unknown("it is computed of a model's scores")

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> list[Any]:
        if len(node.generators) != 1:
            raise Unknown("a comprehension runs over two things at once")
        one = node.generators[0]
        found = []
        with self._scope(dict(self._scopes[-1])):
            for item in methods.items(self._known(self._value(one.iter))):
                self._store(one.target, item)
                if all(self._truth(test) for test in one.ifs):
                    found.append(self._known(self._value(node.elt)))
        return found

    def _of_ListComp(self, node: ast.ListComp) -> Any:  # noqa: N802 -- named for the node
        return self._comprehension(node)

    def _of_GeneratorExp(self, node: ast.GeneratorExp) -> Any:  # noqa: N802 -- named for the node
        return self._comprehension(node)

    def _of_SetComp(self, node: ast.SetComp) -> Any:  # noqa: N802 -- named for the node
        return set(self._comprehension(node))

    def _of_DictComp(self, node: ast.DictComp) -> Any:  # noqa: N802 -- named for the node
        pairs = ast.ListComp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)
        return dict(self._comprehension(ast.fix_missing_locations(ast.copy_location(pairs, node))))

    # Calls

    def _of_Call(self, node: ast.Call) -> Any:  # noqa: N802 -- named for the node
        try:
            return self._call(node)
        except Unknown as unknown:
            if isinstance(node.func, ast.Attribute) and node.func.attr == "fit":
                place = unknown.place or Place(self._cell, node.lineno)
                self.failed.append(Opaque(unknown.reason, place, unknown.hint))
            raise

    def _call(self, node: ast.Call) -> Any:
        function = self._known(self._value(node.func))
        if isinstance(function, Path):
            libraries.refuse_elsewhere(function.name)
        args = tuple(self._all(node.args))
        if any(one.arg is None for one in node.keywords):
            expanded = [self._known(self._value(one.value)) for one in node.keywords if one.arg is None]
            kwargs = {str(name): value for one in expanded for name, value in one.items()}
        else:
            kwargs = {}
        kwargs |= {one.arg: self._known(self._value(one.value)) for one in node.keywords if one.arg}
        self.place = Place(self._cell, node.lineno)
        if isinstance(function, Path) and function.name.startswith("builtins."):
            return self._builtin(function.name.removeprefix("builtins."), args, kwargs)
        if isinstance(function, Path):
            return self.library(function.name, args, kwargs)
        if isinstance(function, Function):
            return self.apply(function, args, kwargs)
        if isinstance(function, Method):
            return libraries.call_method(self, function.of, function.name, args, kwargs)
        raise Unknown("what is called here is not known")

    def _builtin(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name != "len" and any(isinstance(one, _SYMBOLIC) for one in args):
            if name in {"list", "sorted", "set"} and isinstance(args[0], Frame):
                return _BUILTINS[name](list(args[0].columns), **kwargs)
            if name in {"int", "float", "bool", "abs", "round"} and isinstance(args[0], Series):
                return libraries.call_method(self, args[0], *methods.BUILTIN[name], {})
            raise Unknown(f"{name}() of a value that is not known")
        return _BUILTINS[name](*args, **kwargs)

    def library(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function or class of a library gives, by its full name."""
        return libraries.call(self, name, args, kwargs)

    def apply(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function of the notebook gives for these arguments."""
        if len(self._scopes) > 20:
            raise Unknown("functions call one another more than 20 deep")
        spec = function.node.args
        if spec.vararg or spec.kwarg or spec.posonlyargs:
            raise Unknown("a function takes any number of arguments")
        names = [one.arg for one in (*spec.args, *spec.kwonlyargs)]
        given = [*spec.args][len(spec.args) - len(spec.defaults) :]
        bound = {one.arg: self._value(value) for one, value in zip(given, spec.defaults, strict=True)}
        bound |= {one.arg: self._value(v) for one, v in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if v}
        bound |= dict(zip(names, args, strict=False)) | kwargs
        missing = [name for name in names if name not in bound]
        if missing or len(args) > len(names):
            raise Unknown("a function is called with other arguments than it takes")
        before = self._cell
        self._cell = function.cell
        try:
            with self._scope(bound):
                if isinstance(function.node, ast.Lambda):
                    return self._known(self._value(function.node.body))
                try:
                    self._block(function.node.body)
                except Returned as returned:
                    return returned.value
        finally:
            self._cell = before
        return None

    @contextlib.contextmanager
    def _scope(self, names: dict[str, Any]) -> Iterator[None]:
        self._scopes.append(names)
        self._globals.append(set())
        try:
            yield
        finally:
            self._scopes.pop()
            self._globals.pop()
