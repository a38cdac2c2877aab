"""Training runs in SQL."""

from __future__ import annotations

from seakeep.backends.sql.audit import enter
from seakeep.backends.sql.database import Database
from seakeep.backends.sql.record import RecordFormat
from seakeep.errors import NotFoundError, did_you_mean
from seakeep.records.run import Run

_RUN = RecordFormat(Run, "run")


class SqlRuns:
    """Keeps runs; see :class:`seakeep.training.store.RunStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: Run, *, actor: str) -> None:
        """Keep a run, with an entry in the audit log."""
        record = _RUN.encode(run)
        with self._database.write() as connection:
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", (run.id, run.model, run.started_us, record))
            details = {"dataset": run.dataset, "artefact": run.artefact, "definition": run.definition_digest}
            now_us = self._database.clock.now_us()
            enter(
                connection,
                record,
                time_us=now_us,
                actor=actor,
                action="judge" if run.given else "train",
                subject=run.id,
                details=details,
            )

    def get(self, run_id: str) -> Run:
        """A run by its id; NotFoundError if there is none."""
        with self._database.read() as connection:
            row = connection.execute("SELECT record FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                known = [str(name) for (name,) in connection.execute("SELECT id FROM runs")]
                raise NotFoundError(f"there is no run {run_id!r}", hint=did_you_mean(run_id, known))
            return _RUN.decode(row[0])

    def list(self, model: str = "") -> list[Run]:
        """All runs, or those of one model, newest first."""
        query = "SELECT record FROM runs WHERE model = ? OR ? = '' ORDER BY started_us DESC, rowid DESC"
        with self._database.read() as connection:
            return [_RUN.decode(record) for (record,) in connection.execute(query, (model, model))]
