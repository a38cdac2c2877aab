"""The features of recorded predictions computed again: from their recorded requests, and from what was known of the world.

What was known is what the service itself knew: the dataset version that its views were filled from, and every event
that was recorded since. A project's tables may hold more, or, in a service that lives on arriving events, less.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.clock import parse_duration
from seakeep.errors import DataError, RowError
from seakeep.features.join import features_at
from seakeep.features.rows import RequestDecoder, cells_to_table
from seakeep.recorder import query
from seakeep.recorder.retention import expired
from seakeep.records.expression import columns_of
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import Cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.data.table import Table
    from seakeep.recorder.table import AskedTable
    from seakeep.records.source import Events

_NEVER = 2**62

Reveal = Callable[[dict[str, list[Cell]]], dict[str, list[Cell]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What was known of the world.

    Attributes
    ----------
    tables
        Events by source name.
    gap_us
        Between which moments events may be missing, because retention let them go.
    span_us
        How far back the views look.
    """

    tables: Mapping[str, Table]
    gap_us: tuple[int, int] = (0, 0)
    span_us: int = 0

    def whole_at(self, times_us: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether all that the views look at is there, for each moment, bool ``(n,)``."""
        from_us, to_us = self.gap_us
        return (times_us <= from_us) | (times_us - self.span_us >= to_us)


class PastFeatures:
    """Computes a model's inputs, or some of them, again for recorded requests.

    Parameters
    ----------
    definition
        Resolved; only its views of which something is asked for are computed.
    known
        What was known; see :func:`known`. Requests that speak for a moment of which not all is kept are not found.
    unread
        Columns of the requests of one version, by its number, that cannot be read again from the record: where the
        definition reads one of them, no request of that version is found.
    """

    def __init__(self, definition: ModelDefinition, known: Known, unread: Callable[[int], Collection[str]]) -> None:
        self._definition, self._known, self._unread = definition, known, unread
        self._decoder = RequestDecoder(definition)
        self._read = {view.entity for view in definition.views}.union(
            *map(columns_of, definition.request_features.values())
        )

    def at(self, asked: AskedTable) -> tuple[NDArray[np.bool_], dict[str, NDArray[Any]]]:
        """The inputs of those predictions whose requests can be read again.

        Returns
        -------
        tuple
            Which can, bool ``(n,)``; and of those the inputs by column name.
        """
        found = self._found(asked)
        decoded = self._decoder.decode(_array(asked.request[found].tolist()))
        times_us = asked.time_us[found]
        table = {**decoded.table, self._definition.request.time: times_us.view("datetime64[us]")}
        return found, features_at(self._definition, table, times_us, self._known.tables)

    def _found(self, asked: AskedTable) -> NDArray[np.bool_]:
        kept = [number for number in set(asked.version.tolist()) if self._read.isdisjoint(self._unread(number))]
        found = np.isin(asked.version, kept) & self._known.whole_at(asked.time_us)
        rows = asked.request[found].tolist()
        if not self._is_readable(rows):
            found[found] = [self._is_readable([row]) for row in rows]
        return found

    def _is_readable(self, rows: Sequence[str | bytes]) -> bool:
        try:
            self._decoder.decode(_array(rows))
        except RowError:
            return False
        return True


def part_of(definition: ModelDefinition, columns: Sequence[FeatureColumn]) -> ModelDefinition:
    """The part of a resolved definition that computes some of its columns.

    Views are kept or left out as a whole: which events come first among those of one moment depends on all that a view
    keeps of them, and with it the last bits of a sum.
    """
    names, views = {column.name for column in columns}, {column.view for column in columns}
    return msgspec.structs.replace(
        definition,
        views=tuple(view for view in definition.views if view.name in views),
        request_features={name: node for name, node in definition.request_features.items() if name in names},
        columns=tuple(columns),
    )


def known(
    definition: ModelDefinition,
    dataset: Mapping[str, Table],
    events: Path,
    *,
    as_of_us: int,
    reveal: Reveal = dict,
    silent: Callable[[str], Table] | None = None,
) -> Known:
    """The events that the views of a version have: those of its dataset, and the recorded ones known from then on.

    Parameters
    ----------
    reveal
        Reads the tokens among recorded events.
    silent
        Gives the history of a source of which no event was ever recorded; by default its dataset is all of it.

    Raises
    ------
    DataError
        The dataset does not have a source, or ``silent`` cannot give one.
    """
    tables: dict[str, Table] = {}
    let_go, gap_to_us = any(expired(events).values()), 0
    for source in {view.source.name: view.source for view in definition.views}.values():
        if source.name not in dataset:
            message = f"the dataset version of {definition.name} has no source {source.name!r}"
            raise DataError(message, hint="train again, so that the dataset has what the definition reads")
        arrived = _arrived(definition, source, reveal(query.load_events(events, source.name, damage=[])), as_of_us)
        if arrived is not None:
            tables[source.name] = _joined(dataset[source.name], arrived)
            gap_to_us = max(gap_to_us, _begin_us(arrived[source.time], source))
        elif silent:
            tables[source.name] = silent(source.name)
        else:
            tables[source.name] = dataset[source.name]
            gap_to_us = _NEVER
    if not let_go:
        return Known(tables)
    windows = [one for view in definition.views for spec in view.features.values() for one in spec.windows]
    return Known(tables, (as_of_us, gap_to_us), max(map(parse_duration, windows), default=0))


def _begin_us(times: NDArray[np.datetime64], source: Events) -> int:
    """When the first of some events became known; of none, never."""
    return int(times.min().astype("datetime64[us]").view(np.int64)) + source.delay_us if len(times) else _NEVER


def _arrived(definition: ModelDefinition, source: Events, cells: dict[str, list[Cell]], as_of_us: int) -> Table | None:
    if not cells:
        return None
    table = cells_to_table(cells, definition.schemas[source.name], source)
    later = table[source.time].view(np.int64) + source.delay_us >= as_of_us
    return {name: values[later] for name, values in table.items()}


def _joined(history: Table, arrived: Table) -> Table:
    return {name: np.concatenate([history[name], values]) for name, values in arrived.items()}


def _array(rows: Sequence[str | bytes]) -> bytes:
    """Rows as a JSON array."""
    return b"[" + b",".join([row if isinstance(row, bytes) else row.encode() for row in rows]) + b"]"
