"""What the settings add to a call before it may wait: a deadline where it brings none, and its key's quota."""

from __future__ import annotations

from pathlib import Path

from seakeep.config import ServingSettings
from seakeep.serving.deadline import Deadlines
from seakeep.serving.inference import Call
from seakeep.serving.quota import Quotas


class Terms:
    """Terms of calls; false where the settings say nothing.

    Parameters
    ----------
    folder
        Where the workers' shared files are.
    """

    def __init__(self, settings: ServingSettings, folder: Path) -> None:
        self._deadlines, self._quotas = Deadlines(settings), Quotas(settings, folder)

    def __bool__(self) -> bool:
        return self._deadlines.any or bool(self._quotas)

    def settle(self, call: Call) -> None:
        """Give a call the deadline that it does not bring."""
        if call.deadline_s is None:
            call.deadline_s = self._deadlines.of(call.model, call.arrived_s)

    def spend(self, call: Call) -> None:
        """Count what a call asks for; QuotaError if its key has used up what it may."""
        self._quotas.spend(call.principal, call.size)
