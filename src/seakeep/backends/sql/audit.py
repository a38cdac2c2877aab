"""The audit log in SQL: entries are written by the transactions they tell of."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from seakeep.backends.sql.database import Database
from seakeep.records.release import AuditEntry
from seakeep.security.audit import follow

_decode = msgspec.json.Decoder(AuditEntry).decode


class SqlAudit:
    """Reads the log; see :class:`seakeep.registry.store.AuditStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[AuditEntry]:
        """Every entry, oldest first."""
        with self._database.read() as connection:
            return [_decode(record) for (record,) in connection.execute("SELECT record FROM audit ORDER BY number")]


def enter(
    connection: sqlite3.Connection, *, time_us: int, actor: str, action: str, subject: str, details: Mapping[str, str]
) -> None:
    """Write an entry as part of the transaction that changes what it tells of."""
    row = connection.execute("SELECT record FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    last = _decode(row[0]) if row else None
    entry = follow(last, time_us=time_us, actor=actor, action=action, subject=subject, details=details)
    connection.execute("INSERT INTO audit VALUES (?, ?)", (entry.number, msgspec.json.encode(entry)))
