"""Where versions, gate results, releases, receipts and the audit log are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from seakeep.records.gate import GateResult
from seakeep.records.release import AuditEntry, Receipt, Release, Route
from seakeep.records.version import Version


class VersionStore(Protocol):
    """Keeps versions; they never change."""

    def add(self, version: Version, *, actor: str, now_us: int) -> Version:
        """Give a version the next number and keep it; the one that has the same bundle already, if there is one."""
        ...

    def get(self, model: str, number: int) -> Version:
        """A version by its number; NotFoundError if there is none."""
        ...

    def list(self, model: str) -> list[Version]:
        """All versions of a model, newest first."""
        ...


class GateStore(Protocol):
    """Keeps what gates found."""

    def put(self, model: str, number: int, results: Sequence[GateResult], *, actor: str, now_us: int) -> None:
        """Keep the results of an evaluation."""
        ...

    def get(self, model: str, number: int) -> tuple[GateResult, ...]:
        """The newest evaluation's results; none if it was never evaluated."""
        ...


class ReleaseStore(Protocol):
    """Keeps releases; the newest of a model is in force."""

    def history(self, model: str) -> list[Release]:
        """All releases of a model, oldest first."""
        ...

    def append(self, release: Release, *, details: Mapping[str, str]) -> None:
        """Put a release in force, with an entry in the audit log.

        Raises
        ------
        ConflictError
            Its revision is not the next one: somebody else changed the release first.
        """
        ...

    def revision(self) -> int:
        """A number that changes whenever any model's release does; cheap."""
        ...

    def routes(self) -> list[Route]:
        """The routes in force, of all models."""
        ...


class ReceiptStore(Protocol):
    """Keeps the receipts of rollouts."""

    def receipts(self, model: str) -> list[Receipt]:
        """All receipts of a model, oldest first."""
        ...

    def add_receipt(self, receipt: Receipt) -> None:
        """Keep a receipt; of one rollout only the first is kept."""
        ...


class AuditStore(Protocol):
    """Keeps the audit log; the other stores write to it when they change something."""

    def list(self) -> list[AuditEntry]:
        """Every entry, oldest first."""
        ...

    def evidence(self) -> tuple[Sequence[AuditEntry], Sequence[str]]:
        """Every entry, and the SHA-256 of every record that the other stores hold, at one moment."""
        ...
