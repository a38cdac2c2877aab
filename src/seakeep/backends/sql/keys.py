"""API keys in SQL."""

from __future__ import annotations

import msgspec

from seakeep.backends.sql.audit import enter
from seakeep.backends.sql.database import Database
from seakeep.errors import ConflictError, IntegrityError
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
        try:
            return [msgspec.convert(dict(zip(names, row, strict=True)), KeyRecord) for row in rows]
        except msgspec.ValidationError as error:
            message = f"an API key of the state was changed: {error}"
            raise IntegrityError(message, hint="restore state.db from a backup") from error

    def add(self, key: KeyRecord, *, actor: str) -> None:
        """Keep a key, with an entry in the audit log; ConflictError if there is an active one of its name."""
        with self._database.write() as connection:
            active = "SELECT 1 FROM keys WHERE name = ? AND revoked_us = 0"
            if connection.execute(active, (key.name,)).fetchone():
                hint = f"revoke it first: seakeep key revoke {key.name}"
                raise ConflictError(f"there is an active key {key.name!r}", hint=hint)
            connection.execute(
                "INSERT INTO keys (digest, name, role, created_us) VALUES (?, ?, ?, ?)",
                (key.digest, key.name, key.role, key.created_us),
            )
            enter(
                connection,
                f"{key.digest} {key.name} {key.role} {key.created_us}",
                time_us=key.created_us,
                actor=actor,
                action="create-key",
                subject=key.name,
                details={"role": key.role},
            )

    def revoke(self, name: str, *, actor: str, now_us: int) -> bool:
        """Refuse the active key of a name from now on, with an entry in the audit log; False if there is none."""
        with self._database.write() as connection:
            revoked = "UPDATE keys SET revoked_us = ? WHERE name = ? AND revoked_us = 0 RETURNING digest"
            found = connection.execute(revoked, (now_us, name)).fetchone()
            if found:
                record = f"{found[0]} {now_us}"
                enter(connection, record, time_us=now_us, actor=actor, action="revoke-key", subject=name, details={})
        return found is not None
