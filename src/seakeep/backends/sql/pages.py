"""Pages in SQL."""

from __future__ import annotations

from seakeep.backends.sql.audit import enter
from seakeep.backends.sql.database import Database
from seakeep.backends.sql.record import RecordFormat
from seakeep.records.finding import Page

_PAGE = RecordFormat(Page, "page")


class SqlPages:
    """Keeps pages; see :class:`seakeep.alerting.store.PageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pages(self, model: str) -> list[Page]:
        """All pages of a model, oldest first."""
        query = "SELECT record FROM pages WHERE model = ? ORDER BY time_us"
        with self._database.read() as connection:
            return [_PAGE.decode(record) for (record,) in connection.execute(query, (model,))]

    def add(self, page: Page) -> bool:
        """Keep a page, with an entry in the audit log; False if the model has one of that moment already."""
        record = _PAGE.encode(page)
        with self._database.write() as connection:
            kept = connection.execute(
                "INSERT OR IGNORE INTO pages VALUES (?, ?, ?)", (page.model, page.time_us, record)
            ).rowcount
            if kept:
                now_us, subject = self._database.clock.now_us(), f"{page.model}:{page.version}"
                details = {"reasons": "; ".join(page.reasons)}
                enter(
                    connection, record, time_us=now_us, actor="watch", action="page", subject=subject, details=details
                )
        return bool(kept)
