"""Answers in the place of those that failed, each from the best rung that can give it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable

from seakeep.config import ModelSettings, ServingSettings
from seakeep.errors import SeakeepError
from seakeep.records.prediction import Rung
from seakeep.serving.batch import Batch, BatchRunner, failures
from seakeep.serving.inference import Part
from seakeep.serving.ladder import below, declared, trigger_of
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.routing import Traffic

LOOKUP_S = 0.02
"""How long a lookup may take where older features may stand in and nothing else is said, in seconds."""

_log = logging.getLogger("seakeep.serving")


class StandIns:
    """Finds the answers that stand in.

    Parameters
    ----------
    settings
        Of each model: how long a lookup may take, and how old the features may be that stand in.
    """

    def __init__(self, runner: BatchRunner, settings: ServingSettings) -> None:
        self._runner = runner
        self._stale_s = {name: one.stale_s for name, one in settings.models.items() if one.stale_s}
        self._limits_s = {name: limit_s for name, one in settings.models.items() if (limit_s := _limit_s(one))}

    def limit_s(self, model: str) -> float | None:
        """How long a lookup for a model may take, in seconds; None: any time."""
        return self._limits_s.get(model) if self._limits_s else None

    def rungs(self, part: Part, traffic: Traffic | None) -> tuple[Rung, ...]:
        """What can stand in for a part that failed, best first."""
        trigger = trigger_of(part.error) if part.error else None
        if trigger is None:
            return ()
        return below(trigger, declared(part.call, traffic, stale=part.version.model in self._stale_s))

    def answers(self, batches: Iterable[Batch], traffic: Traffic | None) -> list[Batch]:
        """Answers in the place of those that failed; what one rung of one version answers is computed together."""
        waiting = [
            _Failed(part, ids, list(self.rungs(part, traffic))) for batch in batches for part, ids in failures(batch)
        ]
        found: list[Batch] = []
        while traffic and (waiting := [failed for failed in waiting if failed.rungs]):
            groups: dict[tuple[Rung, int, bool], dict[Part, _Failed]] = {}
            for failed in waiting:
                part, rung = failed.part, failed.rungs.pop(0)
                other = Part(part.call, _version(rung, part, traffic), rung, part.positions, instead_of=failed.ids)
                groups.setdefault((rung, id(other.version), part.call.direct is None), {})[other] = failed
            for group in groups.values():
                answered = self._answered(list(group))
                found += answered
                for part in (part for batch in answered for part in batch.parts):
                    failed = group[part]
                    failed.part.stood_in = True
                    failed.rungs = []
        return found

    def _answered(self, parts: list[Part]) -> list[Batch]:
        """Batches of parts that are alike, without those that fail."""
        role, version = parts[0].role, parts[0].version
        batches = self._recalled(parts) if role == "stale" else self._runner.run(version, parts)
        found: list[Batch] = []
        for batch in batches:
            sound = [part for part in batch.parts if not part.error]
            if len(sound) == len(batch.parts):
                found.append(batch)
            elif sound:
                found += self._answered(sound)
        return found

    def _recalled(self, parts: list[Part]) -> list[Batch]:
        """Answers with features as they were last known, where they are."""
        try:
            return [self._runner.recalled(parts, self._stale_s[parts[0].version.model])]
        except Exception as error:  # noqa: BLE001 -- the request border: the next rung may still answer
            middle = len(parts) // 2
            if middle:
                return self._recalled(parts[:middle]) + self._recalled(parts[middle:])
            if not isinstance(error, SeakeepError):
                version = parts[0].version
                _log.exception("older features could not stand in for %s:%s", version.model, version.number)
            return []


@dataclasses.dataclass(slots=True)
class _Failed:
    """A part that failed, the ids of its answers, and the rungs that are still to be asked."""

    part: Part
    ids: list[str]
    rungs: list[Rung]


def _version(rung: Rung, part: Part, traffic: Traffic) -> LoadedVersion:
    """The version that answers on a rung in the place of a part's own."""
    if rung == "standby" and traffic.standby:
        return traffic.standby
    if rung == "rule" and part.version.rule is None:
        return traffic.champion
    return part.version


def _limit_s(settings: ModelSettings) -> float:
    return settings.features_ms / 1000 or (LOOKUP_S if settings.stale_s else 0.0)
