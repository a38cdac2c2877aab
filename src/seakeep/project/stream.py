"""Streams the history of a model's sources through the running server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import ServingError
from seakeep.project.load import LoadedProject, sources_of
from seakeep.records.model import ModelDefinition
from seakeep.records.source import Events
from seakeep.replay.traffic import Plan, Stream, Totals, stream
from seakeep.serving.client import Client

if TYPE_CHECKING:
    from seakeep.data.table import Table

CONNECTIONS = 8


def plan(loaded: LoadedProject, definition: ModelDefinition, *, from_us: int, to_us: int, share: float) -> Plan:
    """What to stream: the request's rows as they were asked for, and every other source's events as they became known.

    Parameters
    ----------
    definition
        Resolved: its schemas say which columns the server takes.
    share
        Part of the request's rows that is asked for, 0 to 1: the same rows every time, chosen by their keys. All events
        are sent, so that features stay true.
    """
    request = definition.request
    sources = [source for source in sources_of(loaded.model(definition.name)).values() if source.name != request.name]
    table = loaded.read(request.name)
    if share < 1:
        chosen = np.array([_place(str(key)) < share for key in table[request.key].tolist()], dtype=np.bool_)
        table = {name: values[chosen] for name, values in table.items()}
    return Plan(
        requests=_stream(definition.name, table, request, definition, from_us, to_us),
        events=tuple(
            _stream(source.name, loaded.read(source.name), source, definition, from_us, to_us) for source in sources
        ),
        from_us=from_us,
        to_us=to_us,
    )


def run(
    what: Plan, host: str, port: int, *, headers: Mapping[str, str], on_progress: Callable[[Totals], None] | None
) -> Totals:
    """Stream a plan through a server on ``host`` and ``port``.

    Raises
    ------
    ServingError
        Nobody answers there.
    """

    async def work() -> Totals:
        client = Client(host, port, CONNECTIONS)
        try:
            await client.get("/v2/health/live")
            return await stream(what, [client] * CONNECTIONS, headers=headers, on_progress=on_progress)
        except OSError as error:
            message = f"nobody answers on port {port} of {host}"
            raise ServingError(message, hint="start the server first: seakeep up") from error
        finally:
            await client.close()

    return asyncio.run(work())


def _place(key: str) -> float:
    """Where a key lies between 0 and 1: evenly spread, and the same for ever."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, person=b"seakeep-sample").digest()) / 2**64


def _stream(name: str, table: Table, source: Events, definition: ModelDefinition, from_us: int, to_us: int) -> Stream:
    """The rows of a table that became known in a period, in that order, each as a JSON object."""
    times = table[source.time].astype("datetime64[us]")
    known = np.where(np.isnat(times), np.int64(-(2**62)), times.view(np.int64)) + source.delay_us
    chosen = np.flatnonzero((known >= from_us) & (known < to_us))
    chosen = chosen[np.argsort(known[chosen], kind="stable")]
    columns = {column.name: _cells(table[column.name][chosen]) for column in definition.schemas[source.name]}
    return Stream(name=name, rows=_rows(columns, len(chosen)), times_us=known[chosen].tolist())


def _cells(values: np.ndarray) -> Sequence[Any]:
    """Values as JSON has them; a missing one is None."""
    if values.dtype.kind == "M":
        moments = values.astype("datetime64[us]").view(np.int64).tolist()
        return [None if missing else moment for moment, missing in zip(moments, np.isnat(values).tolist(), strict=True)]
    cells = values.tolist()
    if values.dtype.kind == "f":
        return [None if cell != cell else cell for cell in cells]  # noqa: PLR0124 -- only NaN differs from itself
    return [None if cell == "" else cell for cell in cells] if values.dtype.kind == "O" else cells


def _rows(columns: Mapping[str, Sequence[Any]], count: int) -> list[dict[str, Any]]:
    names = list(columns)
    found = [dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return [{name: cell for name, cell in row.items() if cell is not None} for row in found] if count else []
