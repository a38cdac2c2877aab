"""The files that make up a Delta table; its log alone tells which of those in its folder they are."""

from __future__ import annotations

from pathlib import Path

import deltalake
from deltalake.exceptions import DeltaError

from seakeep.errors import DataError
from seakeep.scoring.inputs import TableFile

_HARMLESS = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "typeWidening", "columnMapping"}
"""Features of a table that change nothing in what its files hold; of the last its mode tells."""


def table_files(folder: Path, version: int | None = None) -> tuple[int, list[TableFile]]:
    """The version of a table, by default the newest, and its files in the order of their names.

    Raises
    ------
    DataError
        There is no such version, or its files alone do not tell its rows.
    """
    try:
        table = deltalake.DeltaTable(folder, version=version)
        features = set(table.protocol().reader_features or ()) - _HARMLESS
        if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
            features.add("columnMapping")
        paths = [Path(one) for one in table.file_uris()]
        actions = table.get_add_actions(flatten=True)
    except DeltaError as error:
        message = f"cannot read the Delta table {folder}: {error}"
        raise DataError(message, hint="check that the table is whole, and that this version of it is kept") from error
    if features:
        message = f"the Delta table {folder} uses {', '.join(sorted(features))}: its files alone do not tell its rows"
        raise DataError(message, hint="write what is to be scored to Parquet with the engine that wrote the table")
    partitions = [name for name in actions.schema.names if name.startswith("partition.")]
    values = {name.removeprefix("partition."): actions.column(name).to_pylist() for name in partitions}
    found = [
        TableFile(path, {name: _text(column[place]) for name, column in values.items()})
        for place, path in enumerate(paths)
    ]
    return int(table.version()), sorted(found)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
