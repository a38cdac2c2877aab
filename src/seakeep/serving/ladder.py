"""What stands in for a full answer, and in which order: features as they were last known, a smaller version, a declared rule.

A rung is taken when the one above it cannot answer: the features do not come in time, the model fails, too many wait, or the
deadline is too near. Features that do not come are no reason to ask a smaller version, which needs them too.

References
----------
Beyer et al. (2016), *Site Reliability Engineering*, chapter 22: graceful degradation.
"""

from __future__ import annotations

from typing import Literal as OneOf

from seakeep.errors import DeadlineError, FeaturesError, SeakeepError
from seakeep.records.prediction import Rung
from seakeep.serving.errors import CLIENT_CODES
from seakeep.serving.inference import Call
from seakeep.serving.routing import Traffic

Trigger = OneOf["features", "model", "pressure"]
"""Why a full answer is not to be had; ``pressure``: too much is asked, or the deadline is too near."""

_LEADS_TO: dict[Trigger, tuple[Rung, ...]] = {
    "features": ("stale", "rule"),
    "model": ("standby", "rule"),
    "pressure": ("standby", "rule"),
}


def below(trigger: Trigger, declared: tuple[Rung, ...]) -> tuple[Rung, ...]:
    """The rungs to try, best first, of those that are declared."""
    return tuple(rung for rung in _LEADS_TO[trigger] if rung in declared)


def declared(call: Call, traffic: Traffic | None, *, stale: bool) -> tuple[Rung, ...]:
    """The rungs that there are for a call.

    One that asks for a certain version is answered by no other; one that brings the inputs has no row for a rule, and can be
    answered by a version that takes the same ones alone. A version that answers with something of another kind, which a switch
    may have left standing by, stands in for none.

    Parameters
    ----------
    stale
        Whether features as they were last known may stand in.
    """
    if traffic is None or call.role == "pinned":
        return ()
    rungs: list[Rung] = ["stale"] if stale and call.direct is None else []
    standby, champion = traffic.standby, traffic.champion
    if standby and (call.version.takes == standby.takes if call.version else champion.outputs == standby.outputs):
        rungs.append("standby")
    if champion.rule and call.direct is None:
        rungs.append("rule")
    return tuple(rungs)


def trigger_of(error: SeakeepError) -> Trigger | None:
    """Why a part of a call failed; None if nothing can stand in: the client is at fault, or has gone."""
    if isinstance(error, DeadlineError) or error.code in CLIENT_CODES:
        return None
    return "features" if isinstance(error, FeaturesError) else "model"
