"""Answers in the place of those that failed, from the best rung that can give them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from seakeep.config import ModelSettings, ServingSettings
from seakeep.errors import SeakeepError
from seakeep.records.prediction import Rung
from seakeep.serving.batch import Batch, BatchRunner
from seakeep.serving.inference import Part
from seakeep.serving.ladder import below, declared, trigger_of
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

    def answer(self, part: Part, traffic: Traffic | None, failed: Sequence[str]) -> Batch | None:
        """Answers to the rows of a part that failed; None if nothing can stand in.

        Parameters
        ----------
        failed
            Ids of the answers that failed, by row.
        """
        for rung in self.rungs(part, traffic):
            if traffic and (batch := self._try(rung, part, traffic)):
                batch.parts[0].instead_of = failed
                return batch
        return None

    def _try(self, rung: Rung, part: Part, traffic: Traffic) -> Batch | None:
        version = part.version
        if rung == "standby" and traffic.standby:
            version = traffic.standby
        elif rung == "rule" and version.rule is None:
            version = traffic.champion
        other = Part(part.call, version, rung, part.positions)
        try:
            if rung == "stale":
                batch = self._runner.recalled([other], self._stale_s[version.model])
            else:
                (batch,) = self._runner.run(version, [other])
        except SeakeepError:
            return None
        except Exception:  # noqa: BLE001 -- the request border: the next rung may still answer
            _log.exception("%s could not stand in for %s:%s", rung, version.model, version.number)
            return None
        return None if other.error else batch


def _limit_s(settings: ModelSettings) -> float:
    return settings.features_ms / 1000 or (LOOKUP_S if settings.stale_s else 0.0)
