"""One SQLite file: its schema, its connections, and transactions that are durable when they return."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from seakeep.clock import Clock
from seakeep.errors import ConflictError, PlatformError

SCHEMA_VERSION = 3
BUSY_MS = 10_000
"""How long a transaction waits for another one, in milliseconds."""

_HINTS = {
    "database or disk is full": "make room on the disk and try again; nothing was changed",
    "disk I/O error": "check the disk and its room and try again; nothing was changed",
    "database is locked": "another process holds the state for long; try again",
    "attempt to write a readonly database": "give this user the right to write it",
    "unable to open database file": "give this user the right to write it and its folder",
}


def _only_grows(*tables: str) -> str:
    """What was written is never changed: the database itself refuses to."""
    return "".join(
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} only grow'); END;\n"
        for table in tables
        for verb in ("UPDATE", "DELETE")
    )


_FIRST = """
CREATE TABLE runs (id TEXT PRIMARY KEY, model TEXT NOT NULL, started_us INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE versions (
    model TEXT NOT NULL, number INTEGER NOT NULL, bundle TEXT NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (model, number), UNIQUE (model, bundle));
CREATE TABLE gates (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, number INTEGER NOT NULL, judged_us INTEGER NOT NULL,
    results BLOB NOT NULL);
CREATE TABLE releases (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, revision INTEGER NOT NULL, record BLOB NOT NULL,
    UNIQUE (model, revision));
CREATE TABLE receipts (
    model TEXT NOT NULL, started_us INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (model, started_us));
CREATE TABLE keys (
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, created_us INTEGER NOT NULL,
    revoked_us INTEGER NOT NULL DEFAULT 0);
CREATE TABLE audit (number INTEGER PRIMARY KEY, record BLOB NOT NULL);
""" + _only_grows("runs", "versions", "gates", "releases", "receipts", "audit")
# What the first schema lacked. Two processes may bring one state up at once, so it must be possible to do it twice.
_SINCE = """
CREATE TABLE IF NOT EXISTS pages (
    model TEXT NOT NULL, time_us INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (model, time_us));
CREATE TABLE IF NOT EXISTS erasures (id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, record BLOB NOT NULL);
""" + _only_grows("pages", "erasures")


class _Connection(sqlite3.Connection):
    """A connection that closes itself: Python warns of those that are let go while they are open."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # one that could not be opened
            self.close()


class Database:
    """Connections to one file, for any number of threads and processes; also after a fork.

    Parameters
    ----------
    path
        The file; made on first use, readable by its owner alone.
    clock
        Dates the entries of the audit log.

    Raises
    ------
    PlatformError
        The file cannot be used: no database, made by a newer Seakeep, or no room on the disk.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path, self.clock = path, clock
        self._local = threading.local()
        if not path.exists():
            self._make()
        with self.read() as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if 0 < found < SCHEMA_VERSION:
                _bring_up(connection, _SINCE)
                found = SCHEMA_VERSION
        if found > SCHEMA_VERSION:
            message = f"{path} was made by a newer Seakeep (schema {found}, this one knows {SCHEMA_VERSION})"
            raise PlatformError(message, hint="upgrade seakeep")
        if found != SCHEMA_VERSION:
            raise PlatformError(f"{path} is no state of Seakeep", hint="restore it from a backup, or move it away")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to ask; every statement sees what was committed before it."""
        with self._told():
            yield self._connection()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is on the disk when the block ends, none of it if the block raises."""
        with self._told():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A disk that is full may have rolled it back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None and self._local.process == os.getpid():
            connection.close()
        self._local.connection = None

    def _connection(self) -> sqlite3.Connection:
        local = self._local
        # A connection must not cross a fork: the child leaves its parent's alone and opens its own.
        if getattr(local, "connection", None) is None or local.process != os.getpid():
            local.connection, local.process = self._open(), os.getpid()
        connection: sqlite3.Connection = local.connection
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_MS / 1_000,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _make(self) -> None:
        """Make the file aside and link it into its place: of two who race one wins, and nobody finds half of it."""
        if self.path.with_name(f"{self.path.name}-wal").exists() and not self.path.exists():
            message = f"{self.path} is missing, though changes of it are there"
            raise PlatformError(message, hint="restore it from a backup, or move what is left away")
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with self._told(), closing(sqlite3.connect(aside, isolation_level=None)) as connection:
                _bring_up(connection, _FIRST + _SINCE)
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):
                os.link(aside, self.path)
            _sync(self.path.parent)
        except OSError as error:
            message = f"the state in {self.path} cannot be made: {error.strerror}"
            raise PlatformError(message, hint="check the folder, its room and its rights") from error
        finally:
            with suppress(OSError):
                aside.unlink()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            message = f"the state in {self.path} refuses the change: {error}"
            raise ConflictError(message, hint="what was written once is never changed") from error
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged file may damage SQLite's own message
            text = str(error)
            hint = _HINTS.get(text, "restore it from a backup, or set another project.home")
            raise PlatformError(f"the state in {self.path} cannot be used: {text}", hint=hint) from error


def _bring_up(connection: sqlite3.Connection, schema: str) -> None:
    connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
