"""Recorded predictions as a table of other tools: a DuckDB relation, an Arrow table, a pandas data frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from seakeep.errors import PlatformError
from seakeep.recorder.container import opened
from seakeep.recorder.layout import Part, parts
from seakeep.recorder.parquet import TYPES, columns_in, connect, create_table, insert, table
from seakeep.recorder.query import Query, condition, wanted
from seakeep.recorder.reader import report, segment
from seakeep.recorder.segment import Damage
from seakeep.records.prediction import Prediction

if TYPE_CHECKING:
    from types import TracebackType

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_CHUNK = 16_384


class Records:
    """The predictions that a query chose, as they were when it was asked, in the order of ``time_us``.

    One row a prediction; the columns are the fields of :class:`seakeep.records.prediction.Prediction`. A number that is
    missing is NULL, ``numbers``, ``categories``, ``feature_times_us`` and ``scores`` are lists, ``request`` is JSON.

    A context manager: until it is closed, retention and erasure wait for the files it reads.

    Parameters
    ----------
    folder
        The recorder's folder.
    damage
        Collects the places that cannot be read.

    Raises
    ------
    RecorderError
        Something cannot be read and ``damage`` is not given.
    """

    def __init__(self, folder: Path, query: Query, *, damage: list[Damage] | None = None) -> None:
        self._folder, self._query, self._damage = folder, query, damage
        self._open = contextlib.ExitStack()
        while True:
            try:
                self._relation = self._found()
            except FileNotFoundError:  # compacted or let go of since the folder was listed: another look
                self._open.close()
            except BaseException:
                self._open.close()
                raise
            else:
                return

    def __enter__(self) -> Self:
        """Nothing happens."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close as :meth:`close` does."""
        self.close()

    def duckdb(self) -> DuckDBPyRelation:
        """A relation to go on asking with, in SQL or Python; usable until :meth:`close`."""
        return self._relation

    def arrow(self) -> Any:
        """All rows as a ``pyarrow.Table``.

        Raises
        ------
        PlatformError
            pyarrow is not installed.
        """
        with _needed("pyarrow"):
            return self._relation.to_arrow_table()

    def pandas(self) -> Any:
        """All rows as a ``pandas.DataFrame``.

        Raises
        ------
        PlatformError
            pandas is not installed.
        """
        with _needed("pandas"):
            return self._relation.df()

    def close(self) -> None:
        """Let go of the files."""
        self._open.close()

    def _found(self) -> DuckDBPyRelation:
        connection = self._open.enter_context(connect())
        create_table(connection)
        columns = ", ".join(TYPES)
        where = condition(self._query)
        found = [f"SELECT {columns} FROM predictions"]  # noqa: S608 -- all names are ours
        for part in parts(self._folder)[0]:
            source = segment(self._folder, part)
            if isinstance(source, Part):
                name = self._open.enter_context(opened(source.path))
                only = "" if part.state == "parquet" else f" AND segment = {part.first}"
                asked = ", ".join(f"{one} AS {column}" for column, one in columns_in(connection, name).items())
                found.append(f"SELECT {asked} FROM {table(name)} WHERE {where}{only}")  # noqa: S608 -- as above
            else:
                chosen = (one for one in source.records() if isinstance(one, Prediction) and wanted(self._query, one))
                _fill(connection, ((part.first, one) for one in chosen))
                report(source, part, self._damage)
        return connection.sql(f"FROM ({' UNION ALL '.join(found)}) ORDER BY time_us, recorded_us, id")


def _fill(connection: DuckDBPyConnection, rows: Iterator[tuple[int, Prediction]]) -> None:
    while chunk := list(islice(rows, _CHUNK)):
        insert(connection, chunk)


@contextlib.contextmanager
def _needed(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        message = f"{name} is not installed"
        raise PlatformError(message, hint="install it: pip install 'seakeep[frames]'") from error
