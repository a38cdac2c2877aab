"""State in SQLite: runs, versions, releases, receipts, pages, keys and the audit log."""

from __future__ import annotations

from seakeep.backends.sql.audit import SqlAudit
from seakeep.backends.sql.database import Database
from seakeep.backends.sql.erasures import SqlErasures
from seakeep.backends.sql.keys import SqlKeys
from seakeep.backends.sql.pages import SqlPages
from seakeep.backends.sql.registry import SqlGates, SqlVersions
from seakeep.backends.sql.releases import SqlReceipts, SqlReleases
from seakeep.backends.sql.runs import SqlRuns

__all__ = [
    "Database",
    "SqlAudit",
    "SqlErasures",
    "SqlGates",
    "SqlKeys",
    "SqlPages",
    "SqlReceipts",
    "SqlReleases",
    "SqlRuns",
    "SqlVersions",
]
