"""The columns that travel from step to step, and where their values come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from seakeep.records.feature import FeatureKind

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a column's values come from, so that a split of a tree can be told in terms of the model's inputs.

    Attributes
    ----------
    position
        Index of the input among the number inputs or among the category inputs.
    scale, shift
        A number input ``x`` reaches the column as the value ``v`` with ``x = v * scale + shift`` (up to rounding).
    choices
        The input's values that matter, where the column depends on which one it is rather than on how large it is.
    bends
        For a column that is a curved monotone function of the input: the functions that undo it, the last to be
        applied to ``v`` first, before ``scale`` and ``shift``. Of a curve two libraries need not have the same last
        bits, so no value is known that lies exactly at a split.
    """

    kind: FeatureKind
    position: int
    scale: float = 1.0
    shift: float = 0.0
    choices: tuple[str | float, ...] = ()
    bends: tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], ...] = ()

    def scaled(self, scale: float, shift: float) -> Origin:
        """The origin after ``v`` became ``w`` with ``v = w * scale + shift``."""
        if self.choices:
            return self
        if self.bends:
            return self.bent(lambda values: values * scale + shift)
        return dataclasses.replace(self, scale=scale * self.scale, shift=shift * self.scale + self.shift)

    def back(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The input's values at which the column has these values, up to rounding."""
        for undo in reversed(self.bends):
            values = undo(values)
        return values * self.scale + self.shift

    def choosing(self, values: tuple[str | float, ...]) -> Origin:
        """The origin of a column that depends on which of these values of the input it is."""
        if self.choices:
            return self
        return dataclasses.replace(self, scale=1.0, shift=0.0, bends=(), choices=values)

    def bent(self, undo: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Origin:
        """The origin after ``v`` became ``w`` with ``v = undo(w)``."""
        return self if self.choices else dataclasses.replace(self, bends=(*self.bends, undo))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table: column ``position`` of a tensor ``(n, k)``.

    Attributes
    ----------
    codes, default
        If ``codes`` is not ``None``, the tensor holds text and the column is the number ``codes`` gives each text
        (``default`` for others). The mapping is emitted where the column is used, so that mappings compose.
    renamed
        Texts that count as others, if the column is still text.
    """

    name: str
    tensor: str
    position: int
    kind: FeatureKind
    origin: Origin | None
    codes: Mapping[str, float] | None = None
    default: float = np.nan
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """What one step hands to the next.

    Attributes
    ----------
    sparse
        Whether scikit-learn holds it as a sparse matrix there, which changes what some estimators refuse.
    """

    columns: tuple[Column, ...]
    sparse: bool = False
