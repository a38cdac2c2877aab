"""What names of a notebook stand for while it is read: pandas' own values, beside how they come from the table's columns.

A notebook is read by carrying out the statements that are known here on the data itself, and nothing else of it. Each
column is kept twice: as pandas has it, and as an expression over the columns of the table. Whatever is not known becomes
:class:`Opaque`, with its place and the reason; that is a fault only if the model comes to depend on it.
"""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Protocol

from seakeep.project.adoption.notebook import Place
from seakeep.records.expression import Node

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Unknown(Exception):
    """An expression has no meaning here: the reason, in words, and where it lies if that is elsewhere."""

    def __init__(self, reason: str, hint: str = "", *, place: Place | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.place = place


@dataclasses.dataclass(frozen=True, slots=True)
class Opaque:
    """A value that is not known, where it was made, and why it is not known."""

    reason: str
    place: Place
    hint: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """Something imported, by its full name: ``pandas.read_csv``."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """A function or lambda of the notebook."""

    node: ast.FunctionDef | ast.Lambda
    cell: int


@dataclasses.dataclass(frozen=True, slots=True)
class Method:
    """An attribute of a value, about to be called."""

    of: Any
    name: str


class Statistic(float):
    """A number learnt from a column: an ordinary float that remembers how.

    Attributes
    ----------
    strategy
        ``mean``, ``median`` or ``most_frequent``.
    of
        The column it was learnt from.
    """

    strategy: str
    of: Series


def learnt(value: float, strategy: str, of: Series) -> Statistic:
    """A number with its origin."""
    made = Statistic(value)
    made.strategy, made.of = strategy, of
    return made


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A transformer that was fitted on some rows, and the name its column had then (None: all columns)."""

    made: Made
    rows: NDArray[np.int64]
    column: Any = None


@dataclasses.dataclass(slots=True)
class Series:
    """A column.

    Attributes
    ----------
    data
        As pandas has it.
    node
        How it comes from the table's columns, before ``steps``.
    rows
        Which rows of the table it has, int64 ``(n,)``.
    steps
        Fitted transformers it went through.
    """

    data: Any
    node: Node
    rows: NDArray[np.int64]
    steps: tuple[Step, ...] = ()
    name: str = ""


@dataclasses.dataclass(slots=True)
class Frame:
    """A data frame, or a matrix made of one; changed in place by the notebook's statements.

    Attributes
    ----------
    data
        As pandas has it, a data frame also where the notebook has an array (``array``).
    columns
        How each column comes from the table, by name; in the order of ``data``.
    whole
        Transformers of all columns at once that it went through.
    """

    data: Any
    columns: dict[Any, tuple[Node, tuple[Step, ...]]]
    rows: NDArray[np.int64]
    whole: tuple[Step, ...] = ()
    array: bool = False

    def column(self, name: Any) -> Series:
        """One column; Unknown if there is none of the name, or several."""
        if self.whole:
            raise Unknown("a column is taken of what a transformer made of all columns")
        if name not in self.columns:
            raise Unknown(f"there is no column {name!r} here")
        node, steps = self.columns[name]
        return Series(self.data[name], node, self.rows, steps, str(name))

    def put(self, name: Any, series: Series) -> None:
        """Set a column."""
        if self.whole:
            raise Unknown("a column is set in what a transformer made of all columns")
        if len(series.data) != len(self.data) or bool((series.rows != self.rows).any()):
            raise Unknown(f"column {name!r} is set from other rows than the frame has")
        self.data[name] = series.data
        self.columns[name] = (series.node, series.steps)

    def take(self, data: Any, rows: NDArray[np.int64]) -> Frame:
        """The same columns with other rows, or fewer columns."""
        kept = {name: self.columns[name] for name in data.columns}
        return Frame(data, kept, rows, self.whole, self.array)


@dataclasses.dataclass(eq=False, slots=True)
class Made:
    """An object of a library, known by the call that made it.

    Attributes
    ----------
    path
        Full name of its class or function.
    built
        The object itself, where it belongs to a library whose objects may be made here.
    fit
        How it was fitted as a model, if it was.
    folded
        Whether what it learnt became a constant of an expression.
    """

    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    place: Place
    built: Any = None
    fitted_rows: Any = None
    fit: Fit | None = None
    folded: bool = False


@dataclasses.dataclass(eq=False, slots=True)
class Fit:
    """A model and what it was fitted on."""

    made: Made
    inputs: Any
    label: Any
    place: Place
    name: str
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Scores:
    """Probabilities of the positive class, as a model gave them."""

    of: Made
    both: bool = False


@dataclasses.dataclass(eq=False, slots=True)
class Source:
    """The table that the notebook reads.

    Attributes
    ----------
    name
        As the notebook names the file.
    data
        As pandas read it, with the columns that the notebook then turned into times.
    """

    name: str
    data: Any
    place: Place


class Reader(Protocol):
    """What rules may ask of whoever reads the notebook; the attributes are those of the interpreter."""

    folder: FilePath
    names: dict[str, Any]
    sources: list[Source]
    fits: list[Fit]
    tables: list[Frame]
    learnt: list[Made]
    random: Any
    place: Place

    def tell(self, text: str) -> None:
        """Note something for the owner."""
        ...

    def apply(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function of the notebook gives."""
        ...

    def library(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function of a library gives, by its full name."""
        ...
