"""Where training runs are kept."""

from __future__ import annotations

from typing import Protocol

from seakeep.records.run import Run


class RunStore(Protocol):
    """Keeps runs; they never change."""

    def add(self, run: Run, *, actor: str) -> None:
        """Keep a run, with an entry in the audit log."""
        ...

    def get(self, run_id: str) -> Run:
        """A run by its id; NotFoundError if there is none."""
        ...

    def list(self, model: str = "") -> list[Run]:
        """All runs, or those of one model, newest first."""
        ...
