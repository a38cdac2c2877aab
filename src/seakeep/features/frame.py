"""A frame: the model's inputs at the moments predictions were or would have been asked for, with what became of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.records.feature import FeatureColumn

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Rows in the order of time.

    Attributes
    ----------
    columns
        The inputs, in the model's order.
    values
        By column name: shape ``(n,)``; float64 with NaN for missing, or object (``str``) with ``""`` for missing.
    key
        The asking row's key, object ``(n,)``.
    time_us
        When the prediction is asked for, int64 ``(n,)``.
    label
        float64 ``(n,)``; 1, 0, or the number that came, or the code of the class (its place in the label's names, from 0);
        NaN when no outcome is known.
    label_known_us
        When the outcome could first be known, int64 ``(n,)``; 0 where it is not.
    """

    columns: tuple[FeatureColumn, ...]
    values: dict[str, NDArray[Any]]
    key: NDArray[np.object_]
    time_us: NDArray[np.int64]
    label: NDArray[np.float64]
    label_known_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_us)

    def select(self, rows: NDArray[Any]) -> Frame:
        """The rows chosen by a boolean mask or by positions."""
        return Frame(
            columns=self.columns,
            values={name: value[rows] for name, value in self.values.items()},
            key=self.key[rows],
            time_us=self.time_us[rows],
            label=self.label[rows],
            label_known_us=self.label_known_us[rows],
        )

    def numbers(self) -> NDArray[np.float64]:
        """The number columns as a matrix, shape ``(n, numbers)``, in the order of ``columns``."""
        chosen = [self.values[column.name] for column in self.columns if column.kind == "number"]
        return np.column_stack(chosen) if chosen else np.empty((len(self), 0))

    def categories(self) -> NDArray[np.object_]:
        """The category columns as a matrix of ``str``, shape ``(n, categories)``, in the order of ``columns``."""
        chosen = [self.values[column.name] for column in self.columns if column.kind == "category"]
        return np.column_stack(chosen) if chosen else np.empty((len(self), 0), dtype=object)

    def to_pandas(self) -> Any:
        """The inputs as a pandas data frame: one column each, categories as ``str`` objects."""
        import pandas as pd

        return pd.DataFrame({column.name: self.values[column.name] for column in self.columns}, copy=False)
