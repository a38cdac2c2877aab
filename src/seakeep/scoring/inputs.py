"""The files to score: which they are, whether they hold what the model reads, and their rows in constant memory."""

from __future__ import annotations

import contextlib
import glob
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seakeep.errors import DataError, did_you_mean
from seakeep.records.model import ModelDefinition
from seakeep.records.scoring import Format, InputFile
from seakeep.records.source import ColumnSchema
from seakeep.scoring.cells import JSON, NOTHING, TEXT, fits, row_object, row_of_object
from seakeep.scoring.forms import OBJECT, Held, fault, held, other_delimiter, relation_of

TABLE_LOG = "_delta_log"
"""The folder in a Delta table that tells what belongs to it."""
_FORMATS: dict[str, Format] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "json", ".ndjson": "json"}
_PACKED = {".gz", ".zst"}
_FORMS = "Parquet (.parquet), CSV (.csv) or a JSON object a line (.jsonl, .ndjson)"


class TableFile(NamedTuple):
    """One file of a table, and the columns that are the same in all its rows and not in it, as text."""

    path: Path
    constants: dict[str, str | None]


TableReader = Callable[[Path, int | None], tuple[int, list[TableFile]]]
"""The version of the Delta table in a folder (None: the newest), and the Parquet files it consists of."""


Row = tuple[str, *tuple[str | None, ...]]
"""A row as a client would send it, as text of JSON, and then the columns that the output repeats, as text."""


class Inputs:
    """Finds and reads files.

    Parameters
    ----------
    connection
        See :mod:`seakeep.scoring.engine`.
    read_table
        Reads the log of a Delta table.
    delimiter
        What separates the cells of CSV.

    Raises
    ------
    DataError
        The delimiter is none.
    """

    def __init__(self, connection: Any, read_table: TableReader, delimiter: str = ",") -> None:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
            message = f"{delimiter!r} cannot separate cells"
            raise DataError(message, hint="give one character, such as ';'")
        self._connection, self._read_table, self._delimiter = connection, read_table, delimiter

    def find(self, given: Sequence[str], tables: Mapping[str, int]) -> tuple[list[InputFile], dict[str, int]]:
        """All files that are meant, in order, read once for their digest and the number of their rows.

        Parameters
        ----------
        given
            Paths of files, folders and Delta tables, and patterns of them.
        tables
            Versions of Delta tables that are to be read, by path; the newest of those that are not named.

        Returns
        -------
        tuple
            The files, and the versions of the Delta tables among what was given.

        Raises
        ------
        DataError
            There is nothing of a name, something is of no known form, or a file cannot be read.
        """
        found: list[InputFile] = []
        versions: dict[str, int] = {}
        for path in (path for one in given for path in _meant(one)):
            if (path / TABLE_LOG).is_dir():
                versions[str(path)], files = self._read_table(path, tables.get(str(path)))
                found += [self._described(file.path, file.constants) for file in files]
            elif path.is_dir():
                found += [self._described(file, {}) for file in _within(path)]
            elif path.is_file():
                found.append(self._described(path, {}))
            else:
                raise DataError(f"there is no file or folder {path}", hint="check the path")
        if not found:
            message = f"there is nothing to score in {', '.join(given)}"
            raise DataError(message, hint=f"give files of {_FORMS}, folders of them, or a Delta table")
        return found, versions

    def held(self, file: InputFile, definition: ModelDefinition) -> Held:
        """What a file holds, checked against what the model reads.

        Raises
        ------
        DataError
            A column that must be there is not, is there twice, or has a type that no value of it could be read from, or there
            is none.
        """
        with self._reading(file) as cursor:
            found = held(cursor, file, self._delimiter)
        types = found.types
        for column in request_columns(definition):
            name = column.name
            if name in types and not fits(column.kind, types[name]):
                message = (
                    f"column {name!r} of {file.name} is {types[name]}, and {definition.name} reads it as {column.kind}"
                )
                raise DataError(
                    message, hint="convert the column, or score rows of the form that the model learnt from"
                )
            if name not in types and not column.nullable and name != definition.request.time:
                message = f"{file.name} has no column {name!r}, which {definition.name} needs"
                raise DataError(message, hint=other_delimiter(list(types)) or did_you_mean(name, types))
        if not any(column.name in types for column in request_columns(definition)):
            names = ", ".join(column.name for column in request_columns(definition))
            raise DataError(f"{file.name} has none of the columns {names}", hint=did_you_mean("", types))
        return found

    @contextlib.contextmanager
    def rows(
        self, file: InputFile, what: Held, columns: Sequence[ColumnSchema], kept: Sequence[str], *, start: int
    ) -> Iterator[Callable[[int], list[Row]]]:
        """The rows of a file from one on; the function that is given takes the next so many, and none at the end.

        Raises
        ------
        DataError
            The file cannot be read to its end, or changes while it is read.
        """
        again = [f"CAST({what.places[name]} AS VARCHAR)" for name in kept]
        objects = file.format == "json"
        row = row_of_object(columns, OBJECT) if objects else row_object(columns, what.types, what.places)
        chosen = ", ".join([row, *again])
        before = Path(file.name).stat()
        with self._reading(file) as cursor:
            stream = cursor.execute(f"select {chosen} from {what.relation} offset {start}")  # noqa: S608 -- quoted
            left = file.rows - start

            def take(count: int) -> list[Row]:
                nonlocal left
                with self._guarded(file):
                    found: list[Row] = stream.fetchmany(count)
                left -= len(found)
                after = Path(file.name).stat()
                same = (before.st_ino, before.st_size, before.st_mtime_ns) == (
                    after.st_ino,
                    after.st_size,
                    after.st_mtime_ns,
                )
                if not same or left < 0 or (left and not found):
                    raise DataError(f"{file.name} changed while it was read", hint="score it again, to another folder")
                return found

            yield take

    def _described(self, path: Path, constants: dict[str, str | None]) -> InputFile:
        form = _format(path)
        if form is None:
            raise DataError(f"{path} is of no known form", hint=f"give files of {_FORMS}")
        size = path.stat().st_size
        if not size:
            raise DataError(f"{path} is empty", hint="leave it out; a table without rows still names its columns")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        found = InputFile(name=str(path), format=form, bytes=size, sha256=sha256, rows=0, constants=constants)
        with self._reading(found) as cursor:
            relation = relation_of(cursor, found, self._delimiter)
            # Of texts each cell is looked at: only then is it known that all are UTF-8.
            counted = "count(*), count(columns(*))" if form == "csv" else "count(*)"
            rows, *_ = cursor.execute(f"select {counted} from {relation}").fetchone()  # noqa: S608 -- quoted
        return InputFile(name=str(path), format=form, bytes=size, sha256=sha256, rows=rows, constants=constants)

    @contextlib.contextmanager
    def _reading(self, file: InputFile) -> Iterator[Any]:
        with self._guarded(file), self._connection.cursor() as cursor:
            yield cursor

    @contextlib.contextmanager
    def _guarded(self, file: InputFile) -> Iterator[None]:
        """What DuckDB cannot read is told as a fault of the file, in our words: its advice is of options that we do not have."""
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            with self._connection.cursor() as cursor:
                told = fault(cursor, file, self._delimiter, str(error))
            raise told from error


def _meant(given: str) -> list[Path]:
    """What there is of a name, or of a pattern."""
    if glob.has_magic(given) and not Path(given).exists():
        return sorted(map(Path, glob.glob(given, recursive=True)))  # noqa: PTH207 -- a pattern may begin at the root
    return [Path(given)]


def _within(folder: Path) -> list[Path]:
    """The files of a folder and those below it, but for what is hidden or a mark of those who wrote it."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _format(path) and not path.relative_to(folder).as_posix().startswith((".", "_"))
        and not path.name.startswith((".", "_"))
    ]  # fmt: skip


def _format(path: Path) -> Format | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def request_columns(definition: ModelDefinition) -> tuple[ColumnSchema, ...]:
    """What a row that asks may hold."""
    return definition.schemas[definition.request.name]


def kept_type(held_type: str) -> str:
    """The type in which the output repeats a column."""
    return "VARCHAR" if held_type in {TEXT, JSON, NOTHING} else held_type
