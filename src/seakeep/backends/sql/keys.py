"""API keys in SQL."""

from __future__ import annotations

import msgspec

from seakeep.backends.sql.audit import enter
from seakeep.backends.sql.database import Database
from seakeep.security.keys import KeyRecord


class SqlKeys:
    """Keeps keys without their secrets; see :class:`seakeep.security.keys.KeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[KeyRecord]:
        """All keys, oldest first; revoked ones too."""
        query = "SELECT name, role, created_us, digest, revoked_us FROM keys ORDER BY created_us, rowid"
        names = ("name", "role", "created_us", "digest", "revoked_us")
        with self._database.read() as connection:
            rows = connection.execute(query).fetchall()
        return [msgspec.convert(dict(zip(names, row, strict=True)), KeyRecord) for row in rows]

    def add(self, key: KeyRecord, *, actor: str) -> None:
        """Keep a key, with an entry in the audit log."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO keys (digest, name, role, created_us) VALUES (?, ?, ?, ?)",
                (key.digest, key.name, key.role, key.created_us),
            )
            enter(
                connection,
                time_us=key.created_us,
                actor=actor,
                action="create-key",
                subject=key.name,
                details={"role": key.role},
            )

    def revoke(self, name: str, *, actor: str, now_us: int) -> bool:
        """Refuse the active key of a name from now on, with an entry in the audit log; False if there is none."""
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE keys SET revoked_us = ? WHERE name = ? AND revoked_us = 0", (now_us, name)
            ).rowcount
            if changed:
                enter(connection, time_us=now_us, actor=actor, action="revoke-key", subject=name, details={})
        return changed > 0
