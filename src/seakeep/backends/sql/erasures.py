"""Erasures in SQL: what was taken out, and the proof; never whose it was."""

from __future__ import annotations

from seakeep.backends.sql.audit import enter
from seakeep.backends.sql.database import Database
from seakeep.backends.sql.record import RecordFormat
from seakeep.records.erasure import Erasure

_ERASURE = RecordFormat(Erasure, "erasure")


class SqlErasures:
    """Keeps what erasures did."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[Erasure]:
        """All erasures, oldest first."""
        with self._database.read() as connection:
            found = connection.execute("SELECT record FROM erasures ORDER BY id")
            return [_ERASURE.decode(record) for (record,) in found]

    def add(self, erasure: Erasure, *, actor: str) -> None:
        """Keep an erasure, with an entry in the audit log."""
        record = _ERASURE.encode(erasure)
        with self._database.write() as connection:
            connection.execute("INSERT INTO erasures (time_us, record) VALUES (?, ?)", (erasure.time_us, record))
            enter(
                connection,
                record,
                time_us=erasure.time_us,
                actor=actor,
                action="erase",
                subject=erasure.subject,
                details={
                    "predictions": str(erasure.predictions),
                    "events": str(erasure.events),
                    "features": str(erasure.features),
                    "left": str(erasure.left),
                },
            )
