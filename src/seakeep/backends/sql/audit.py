"""The audit log in SQL: entries are written by the transactions they tell of."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from hashlib import sha256

from seakeep.backends.sql.database import Database
from seakeep.backends.sql.record import RecordFormat
from seakeep.errors import IntegrityError
from seakeep.records.release import AuditEntry
from seakeep.security.audit import RECORD, follow

_ENTRY = RecordFormat(AuditEntry, "entry of the audit log")
_ENTRIES = "SELECT record FROM audit ORDER BY number"
_RECORDS = """
    SELECT record FROM runs UNION ALL SELECT record FROM versions UNION ALL SELECT results FROM gates
    UNION ALL SELECT record FROM releases UNION ALL SELECT record FROM receipts
    UNION ALL SELECT record FROM pages UNION ALL SELECT record FROM erasures
    UNION ALL SELECT digest || ' ' || name || ' ' || role || ' ' || created_us FROM keys
    UNION ALL SELECT digest || ' ' || revoked_us FROM keys WHERE revoked_us > 0
"""


class SqlAudit:
    """Reads the log; see :class:`seakeep.registry.store.AuditStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[AuditEntry]:
        """Every entry, oldest first."""
        with self._database.read() as connection:
            return [_entry(record) for (record,) in connection.execute(_ENTRIES)]

    def evidence(self) -> tuple[Sequence[AuditEntry], Sequence[str]]:
        """Every entry, and the digest of every record that the other stores hold, at one moment."""
        with self._database.write() as connection:
            entries = [_entry(record) for (record,) in connection.execute(_ENTRIES)]
            return entries, [_digest(record) for (record,) in connection.execute(_RECORDS)]


def enter(
    connection: sqlite3.Connection,
    record: bytes | str,
    *,
    time_us: int,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, str],
) -> None:
    """Write an entry as part of the transaction that writes the record it tells of."""
    row = connection.execute("SELECT record FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    last = _entry(row[0]) if row else None
    details = {**details, RECORD: _digest(record)}
    entry = follow(last, time_us=time_us, actor=actor, action=action, subject=subject, details=details)
    connection.execute("INSERT INTO audit VALUES (?, ?)", (entry.number, _ENTRY.encode(entry)))


def _entry(record: bytes) -> AuditEntry:
    """An entry as it was written, to the byte: a space more would not change its digest.

    Raises
    ------
    IntegrityError
        It was changed.
    """
    entry = _ENTRY.decode(record)
    if _ENTRY.encode(entry) != record:
        message = f"entry {entry.number} of the audit log was changed"
        raise IntegrityError(message, hint="restore state.db from a backup")
    return entry


def _digest(record: object) -> str:
    """SHA-256 of a record; a damaged one may be of any type."""
    return sha256(record if isinstance(record, bytes) else str(record).encode()).hexdigest()
