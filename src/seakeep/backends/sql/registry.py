"""Versions and what their gates found, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from seakeep.backends.sql.audit import enter
from seakeep.backends.sql.database import Database
from seakeep.backends.sql.record import RecordFormat
from seakeep.errors import NotFoundError
from seakeep.records.gate import GateResult
from seakeep.records.version import Version

_VERSION = RecordFormat(Version, "version")
_RESULTS = RecordFormat(tuple[GateResult, ...], "evaluation of gates")


class SqlVersions:
    """Keeps versions; see :class:`seakeep.registry.store.VersionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, version: Version, *, actor: str, now_us: int) -> Version:
        """Give a version the next number and keep it; the one that has the same bundle already, if there is one."""
        with self._database.write() as connection:
            same = connection.execute(
                "SELECT record FROM versions WHERE model = ? AND bundle = ?", (version.model, version.bundle)
            ).fetchone()
            if same:
                return _VERSION.decode(same[0])
            (number,) = connection.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM versions WHERE model = ?", (version.model,)
            ).fetchone()
            kept = msgspec.structs.replace(version, number=number)
            record = _VERSION.encode(kept)
            connection.execute("INSERT INTO versions VALUES (?, ?, ?, ?)", (kept.model, number, kept.bundle, record))
            details = {"bundle": kept.bundle, "run": kept.run}
            enter(connection, record, time_us=now_us, actor=actor, action="register", subject=kept.ref, details=details)
        return kept

    def get(self, model: str, number: int) -> Version:
        """A version by its number; NotFoundError if there is none."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT record FROM versions WHERE model = ? AND number = ?", (model, number)
            ).fetchone()
        if row is None:
            raise NotFoundError(f"there is no version {model}:{number}", hint=f"see `seakeep model list {model}`")
        return _VERSION.decode(row[0])

    def list(self, model: str) -> list[Version]:
        """All versions of a model, newest first."""
        query = "SELECT record FROM versions WHERE model = ? ORDER BY number DESC"
        with self._database.read() as connection:
            return [_VERSION.decode(record) for (record,) in connection.execute(query, (model,))]


class SqlGates:
    """Keeps what gates found; see :class:`seakeep.registry.store.GateStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, model: str, number: int, results: Sequence[GateResult], *, actor: str, now_us: int) -> None:
        """Keep the results of an evaluation, with an entry in the audit log."""
        record = _RESULTS.encode(tuple(results))
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO gates (model, number, judged_us, results) VALUES (?, ?, ?, ?)",
                (model, number, now_us, record),
            )
            details = {one.gate: f"{'passed' if one.passed else 'failed'}: {one.observed}" for one in results}
            subject = f"{model}:{number}"
            enter(connection, record, time_us=now_us, actor=actor, action="judge", subject=subject, details=details)

    def get(self, model: str, number: int) -> tuple[GateResult, ...]:
        """The newest evaluation's results; none if it was never evaluated."""
        query = "SELECT results FROM gates WHERE model = ? AND number = ? ORDER BY id DESC LIMIT 1"
        with self._database.read() as connection:
            row = connection.execute(query, (model, number)).fetchone()
        return _RESULTS.decode(row[0]) if row else ()
