"""Releases and the receipts of rollouts, in SQL."""

from __future__ import annotations

from collections.abc import Mapping

from seakeep.backends.sql.audit import enter
from seakeep.backends.sql.database import Database
from seakeep.backends.sql.record import RecordFormat
from seakeep.errors import ConflictError
from seakeep.records.release import Receipt, Release, Route

_RELEASE = RecordFormat(Release, "release")
_RECEIPT = RecordFormat(Receipt, "receipt")


class SqlReleases:
    """Keeps releases; see :class:`seakeep.registry.store.ReleaseStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def history(self, model: str) -> list[Release]:
        """All releases of a model, oldest first."""
        query = "SELECT record FROM releases WHERE model = ? ORDER BY revision"
        with self._database.read() as connection:
            return [_RELEASE.decode(record) for (record,) in connection.execute(query, (model,))]

    def append(self, release: Release, *, details: Mapping[str, str]) -> None:
        """Put a release in force, with an entry in the audit log; ConflictError if its revision is not the next."""
        record = _RELEASE.encode(release)
        with self._database.write() as connection:
            (newest,) = connection.execute(
                "SELECT coalesce(max(revision), 0) FROM releases WHERE model = ?", (release.model,)
            ).fetchone()
            if release.revision != newest + 1:
                raise ConflictError(
                    f"the release of {release.model} is at revision {newest}: somebody else changed it first",
                    hint=f"see `seakeep history {release.model}` and decide again",
                )
            connection.execute(
                "INSERT INTO releases (model, revision, record) VALUES (?, ?, ?)",
                (release.model, release.revision, record),
            )
            routes = ", ".join(f":{route.version} {route.role} {route.weight:g}" for route in release.routes)
            enter(
                connection,
                record,
                time_us=release.from_us,
                actor=release.actor,
                action=release.action,
                subject=release.model,
                details={"revision": str(release.revision), "routes": routes, "reason": release.reason, **details},
            )

    def revision(self) -> int:
        """A number that changes whenever any model's release does."""
        with self._database.read() as connection:
            (newest,) = connection.execute("SELECT CAST(coalesce(max(id), 0) AS INTEGER) FROM releases").fetchone()
        return int(newest)

    def routes(self) -> list[Route]:
        """The routes in force, of all models."""
        query = """
            SELECT record FROM releases AS one
            WHERE revision = (SELECT max(revision) FROM releases WHERE model = one.model) ORDER BY model
        """
        with self._database.read() as connection:
            records = connection.execute(query).fetchall()
        return [route for (record,) in records for route in _RELEASE.decode(record).routes]


class SqlReceipts:
    """Keeps receipts; see :class:`seakeep.registry.store.ReceiptStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receipts(self, model: str) -> list[Receipt]:
        """All receipts of a model, oldest first."""
        query = "SELECT record FROM receipts WHERE model = ? ORDER BY started_us"
        with self._database.read() as connection:
            return [_RECEIPT.decode(record) for (record,) in connection.execute(query, (model,))]

    def add_receipt(self, receipt: Receipt) -> None:
        """Keep a receipt, with an entry in the audit log; of one rollout only the first is kept."""
        record = _RECEIPT.encode(receipt)
        with self._database.write() as connection:
            kept = connection.execute(
                "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?)",
                (receipt.model, receipt.started_us, record),
            )
            if kept.rowcount:
                enter(
                    connection,
                    record,
                    time_us=self._database.clock.now_us(),
                    actor="rollout",
                    action="receipt",
                    subject=receipt.model,
                    details={
                        "outcome": receipt.outcome,
                        "candidate": str(receipt.candidate),
                        "requests": str(receipt.requests),
                        "failed": str(receipt.failed),
                    },
                )
