"""Features as of past moments, recomputed from the sources' history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.errors import DataError
from seakeep.features.join import features_at
from seakeep.project.load import LoadedProject
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import ModelDefinition

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PastFeatures:
    """Recomputes a model's inputs, or some of them, for rows that history has.

    Parameters
    ----------
    definition
        Resolved.
    columns
        The inputs to recompute; by default all. Only the sources that they need are read.

    Raises
    ------
    DataError
        A source that is needed has no table, cannot be read or lacks a column.
    """

    def __init__(
        self, loaded: LoadedProject, definition: ModelDefinition, columns: tuple[FeatureColumn, ...] = ()
    ) -> None:
        columns = columns or definition.columns
        names = {column.name for column in columns}
        # Views are kept or left out as a whole: which events come first among those of one moment depends on all that
        # a view keeps of them, and with it the last bits of a sum.
        views = {column.view for column in columns}
        self._definition = msgspec.structs.replace(
            definition,
            views=tuple(view for view in definition.views if view.name in views),
            request_features={name: node for name, node in definition.request_features.items() if name in names},
            columns=columns,
        )
        request = definition.request
        sources = {request.name, *(view.source.name for view in self._definition.views)}
        self._tables = {name: loaded.read(name) for name in sorted(sources)}
        for name, table in self._tables.items():
            absent = sorted({column.name for column in definition.schemas[name]} - set(table))
            if absent:
                message = f"the history of {name!r} has no column {', '.join(map(repr, absent))}"
                raise DataError(message, hint="let its loader give the columns that the version was trained with")
        keys = self._tables[request.name][request.key].tolist() if request.key else []
        self._rows = {str(key): row for row, key in enumerate(keys)}

    def at(
        self, keys: NDArray[np.object_], times_us: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], dict[str, NDArray[Any]]]:
        """Which asking rows history has, and the inputs of those, as of the moments given.

        Parameters
        ----------
        keys, times_us
            Key and moment of each asking row, ``(n,)``; no key (``""``) is in no history.

        Returns
        -------
        tuple
            bool ``(n,)``; and by column name the inputs of the rows found.
        """
        rows = np.array([self._rows.get(key, -1) if key else -1 for key in keys.tolist()], dtype=np.int64)
        found = rows >= 0
        table, request = self._tables[self._definition.request.name], self._definition.request
        asking = {column.name: table[column.name][rows[found]] for column in self._definition.schemas[request.name]}
        return found, features_at(self._definition, asking, times_us[found], self._tables)
