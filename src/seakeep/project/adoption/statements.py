"""Follows statements: which names stand for what after each, and what is not known any more after one that is not understood."""

from __future__ import annotations

import abc
import ast
import warnings
from pathlib import Path as FilePath
from typing import Any

from seakeep.project.adoption import libraries, methods
from seakeep.project.adoption.notebook import Cell, Notebook, Place
from seakeep.project.adoption.values import Fit, Frame, Function, Made, Opaque, Path, Source, Unknown

_MOST_STEPS = 200_000


class Returned(Exception):
    """A function of the notebook returns; its value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class LoopLeft(Exception):
    """A loop of the notebook is left, or its turn is."""


class Broken(LoopLeft):
    """``break``."""


class Continued(LoopLeft):
    """``continue``."""


class Statements(abc.ABC):
    """Carries out the statements of a notebook; what they are made of is told by who extends it.

    Attributes
    ----------
    names
        What the notebook's global names stand for.
    sources
        The tables it read.
    fits
        Models that were fitted, in order.
    learnt
        What fills the gaps of a column with a statistic of the same column.
    failed
        Calls of ``fit`` that were not understood, each with the place and the reason of what was not known.
    tables
        Every table that had a name.
    thresholds
        Where and with what the scores of a model were compared.
    told
        What the owner should know, in words.
    """

    def __init__(self, notebook: Notebook) -> None:
        self.folder: FilePath = notebook.path.resolve().parent
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.sources: list[Source] = []
        self.fits: list[Fit] = []
        self.thresholds: list[tuple[Place, Made, float]] = []
        self.learnt: list[Made] = []
        self.failed: list[Opaque] = []
        self.tables: list[Frame] = []
        self.told: list[str] = []
        self.random = libraries.Random()
        self.place = Place(1, 1)
        self._scopes: list[dict[str, Any]] = [self.names]
        self._globals: list[set[str]] = [set()]
        self._cell = 1
        self._steps = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the notebook's own calls warn of is said where it runs
            for cell in notebook.cells:
                self._read(cell)

    def tell(self, text: str) -> None:
        """Note something for the owner, once."""
        text = f"{self.place}: {text}"
        if text not in self.told:
            self.told.append(text)

    @abc.abstractmethod
    def _value(self, node: ast.expr) -> Any:
        """What an expression gives; Opaque if that is not known."""

    @abc.abstractmethod
    def _binary(self, op: ast.operator | ast.cmpop, left: Any, right: Any) -> Any:
        """What an operator gives."""

    @abc.abstractmethod
    def _truth(self, test: ast.expr) -> bool:
        """Whether a condition holds."""

    @abc.abstractmethod
    def apply(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function of the notebook gives for these arguments."""

    @abc.abstractmethod
    def library(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function or class of a library gives, by its full name."""

    # Statements

    def _read(self, cell: Cell) -> None:
        self._cell = cell.number
        self._block(cell.tree.body)

    def _block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._steps += 1
            before = self.place = Place(self._cell, statement.lineno)
            if self._steps > _MOST_STEPS:
                self._forget(statement, Unknown(f"more than {_MOST_STEPS:,} statements are carried out"))
                continue
            try:
                self._statement(statement)
            except Unknown as unknown:
                self.place = before
                self._forget(statement, unknown)
            except (Returned, LoopLeft):
                raise
            except Exception as error:  # noqa: BLE001 -- the border to the notebook's own data and calls
                self.place = before
                self._forget(statement, Unknown(f"it ends with {type(error).__name__}: {error}"))

    def _forget(self, statement: ast.stmt, unknown: Unknown) -> None:
        """What a statement that is not understood may have set is not known from here on."""
        opaque = Opaque(unknown.reason, unknown.place or self.place, unknown.hint)
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._bind(node.id, opaque)
            elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
                base: ast.expr = node
                while isinstance(base, ast.Subscript | ast.Attribute):
                    base = base.value
                if isinstance(base, ast.Name):
                    self._bind(base.id, opaque)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                self._bind(node.name, opaque)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Pass | ast.Assert):
            return
        method = getattr(self, f"_do_{type(node).__name__}", None)
        if method is None:
            raise Unknown(f"a statement of the kind {type(node).__name__} is not followed")
        method(node)

    def _do_Expr(self, node: ast.Expr) -> None:  # noqa: N802 -- named for the node
        self._value(node.value)

    def _do_Assign(self, node: ast.Assign) -> None:  # noqa: N802 -- named for the node
        value = self._value(node.value)
        for target in node.targets:
            self._store(target, value)

    def _do_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802 -- named for the node
        if node.value is not None:
            self._store(node.target, self._value(node.value))

    def _do_AugAssign(self, node: ast.AugAssign) -> None:  # noqa: N802 -- named for the node
        load = ast.parse(ast.unparse(node.target), mode="eval").body
        self._store(node.target, self._binary(node.op, self._value(load), self._value(node.value)))

    def _do_Import(self, node: ast.Import) -> None:  # noqa: N802 -- named for the node
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.split(".")[0]
            self._bind(alias.asname or name, Path(name))

    def _do_ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: N802 -- named for the node
        for alias in node.names:
            self._bind(alias.asname or alias.name, Path(f"{node.module}.{alias.name}"))

    def _do_FunctionDef(self, node: ast.FunctionDef) -> None:  # noqa: N802 -- named for the node
        if node.decorator_list:
            raise Unknown(f"function {node.name} has a decorator")
        self._bind(node.name, Function(node, self._cell))

    def _do_ClassDef(self, node: ast.ClassDef) -> None:  # noqa: N802 -- named for the node
        raise Unknown(
            f"{node.name} is a class of the notebook's own, and what it computes cannot be served",
            "write what it does with pandas or with scikit-learn's own transformers",
        )

    def _do_Global(self, node: ast.Global) -> None:  # noqa: N802 -- named for the node
        self._globals[-1].update(node.names)

    def _do_Return(self, node: ast.Return) -> None:  # noqa: N802 -- named for the node
        raise Returned(self._value(node.value) if node.value else None)

    def _do_Break(self, _: ast.Break) -> None:  # noqa: N802 -- named for the node
        raise Broken

    def _do_Continue(self, _: ast.Continue) -> None:  # noqa: N802 -- named for the node
        raise Continued

    def _do_Delete(self, node: ast.Delete) -> None:  # noqa: N802 -- named for the node
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._scopes[-1].pop(target.id, None)
            elif isinstance(target, ast.Subscript):
                frame = self._known(self._value(target.value))
                libraries.call_method(
                    self, frame, "drop", (), {"columns": [self._value(target.slice)], "inplace": True}
                )

    def _do_With(self, node: ast.With) -> None:  # noqa: N802 -- named for the node
        for item in node.items:
            if item.optional_vars is not None:
                self._store(item.optional_vars, self._value(item.context_expr))
        self._block(node.body)

    def _do_Try(self, node: ast.Try) -> None:  # noqa: N802 -- named for the node
        self._block([*node.body, *node.orelse, *node.finalbody])

    def _do_If(self, node: ast.If) -> None:  # noqa: N802 -- named for the node
        self._block(node.body if self._truth(node.test) else node.orelse)

    def _do_For(self, node: ast.For) -> None:  # noqa: N802 -- named for the node
        for item in methods.items(self._known(self._value(node.iter))):
            self._store(node.target, item)
            try:
                self._block(node.body)
            except Broken:
                return
            except Continued:
                continue
        self._block(node.orelse)

    # Stores

    def _bind(self, name: str, value: Any) -> None:
        scope = self.names if name in self._globals[-1] else self._scopes[-1]
        scope[name] = value
        if isinstance(value, Frame):
            self.tables.append(value)

    def _store(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, value)
            for fit in self.fits:
                if fit.made is value and not fit.name:
                    fit.name = target.id
        elif isinstance(target, ast.Tuple | ast.List):
            items = [value] * len(target.elts) if isinstance(value, Opaque) else list(methods.items(value))
            if len(items) != len(target.elts):
                raise Unknown(f"{len(items)} values are given to {len(target.elts)} names")
            for one, item in zip(target.elts, items, strict=True):
                self._store(one, item)
        elif isinstance(target, ast.Subscript):
            methods.store(self._known(self._value(target.value)), self._value(target.slice), value)
        elif isinstance(target, ast.Attribute):
            methods.set_attribute(self._known(self._value(target.value)), target.attr, self._known(value))
        else:
            raise Unknown("what is set here is not understood")

    def _known(self, value: Any) -> Any:
        """The value, or Unknown at the place where it came to be not known."""
        if isinstance(value, Opaque):
            raise Unknown(value.reason, value.hint, place=value.place)
        return value
