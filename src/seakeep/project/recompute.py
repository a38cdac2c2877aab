"""The features of recorded predictions computed again: from their recorded requests, and from what was known of the world.

What was known is what the service itself knew: the dataset version that its views were filled from, and every event
that was recorded since. A project's tables may hold more, or, in a service that lives on arriving events, less.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from seakeep.errors import RowError
from seakeep.features.frame import Frame
from seakeep.features.join import features_at
from seakeep.features.rows import RequestDecoder, cells_to_table
from seakeep.recorder import query
from seakeep.recorder.reader import scan
from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from seakeep.data.table import Table
    from seakeep.records.source import Events


def requests(folder: Path, ids: Collection[str]) -> list[Prediction]:
    """The recorded predictions of some ids, with all that is in them."""
    wanted = frozenset(ids)
    records = scan(folder, damage=[])
    return [one for one in records if isinstance(one, Prediction) and one.id in wanted]


def recomputed(
    definition: ModelDefinition, asked: list[Prediction], tables: Mapping[str, Table], unread: Collection[str]
) -> Frame:
    """The features of those predictions whose requests can be read again.

    Parameters
    ----------
    tables
        What was known, by source name.
    unread
        Columns of the request that are not recorded as they were sent: with one of them no request can be read.
    """
    decoder = RequestDecoder(definition)
    columns = {column.name for column in definition.schemas[definition.request.name]}
    readable = [] if columns & set(unread) else [one for one in asked if _is_readable(decoder, one)]
    decoded = decoder.decode(msgspec.json.encode([one.request for one in readable]))
    times_us = np.array([one.time_us for one in readable], dtype=np.int64)
    table = {**decoded.table, definition.request.time: times_us.view("datetime64[us]")}
    return Frame(
        columns=definition.columns,
        values=features_at(definition, table, times_us, tables),
        key=np.array([one.key for one in readable], dtype=object),
        time_us=times_us,
        label=np.full(len(readable), np.nan),
        label_known_us=np.zeros(len(readable), dtype=np.int64),
    )


def known(
    definition: ModelDefinition, dataset: Mapping[str, Table], events: Path, *, as_of_us: int
) -> dict[str, Table]:
    """The events that the views of a version have: those of its dataset, and the recorded ones known from then on."""
    sources = {view.source.name: view.source for view in definition.views}
    return {
        name: _joined(dataset[name], _arrived(definition, source, events, as_of_us)) for name, source in sources.items()
    }


def _arrived(definition: ModelDefinition, source: Events, folder: Path, as_of_us: int) -> Table | None:
    cells = query.load_events(folder, source.name, damage=[])
    if not cells:
        return None
    table = cells_to_table(cells, definition.schemas[source.name], source)
    later = table[source.time].view(np.int64) + source.delay_us >= as_of_us
    return {name: values[later] for name, values in table.items()}


def _joined(history: Table, arrived: Table | None) -> Table:
    if arrived is None:
        return history
    return {name: np.concatenate([history[name], values]) for name, values in arrived.items()}


def _is_readable(decoder: RequestDecoder, one: Prediction) -> bool:
    try:
        decoder.decode(msgspec.json.encode([one.request]))
    except RowError:
        return False
    return True
