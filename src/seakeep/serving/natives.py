"""Tells of the processes that natively served models run in: how many live, their memory, and how they were restarted."""

from __future__ import annotations

from collections.abc import Iterable

from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.metrics import Meters


class Natives:
    """Keeps the counters of a worker's native models true to its versions in force."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._told: dict[str, tuple[LoadedVersion, int]] = {}

    def report(self, versions: Iterable[LoadedVersion]) -> None:
        """Tell how the processes of these versions are, and that those of others are gone."""
        states = [(version, version.session.state) for version in versions if version.apart]
        now = {version.bundle: (version, state) for version, state in states if state}
        for bundle in self._told.keys() - now.keys():
            version, _ = self._told.pop(bundle)
            self._meters.of(version.model, version.number).native(0, 0, 0.0, 0)
        for bundle, (version, state) in now.items():
            _, before = self._told.get(bundle, (version, 0))
            meter = self._meters.of(version.model, version.number)
            meter.native(int(state.pid > 0), state.memory_bytes, state.start_s, state.restarts - before)
            self._told[bundle] = version, state.restarts
