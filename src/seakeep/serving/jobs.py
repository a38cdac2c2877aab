"""What is executed at once, and how long its lookups may take."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence

from seakeep.errors import FeaturesError
from seakeep.serving.errors import InternalError
from seakeep.serving.inference import Call, Part
from seakeep.serving.routing import Traffic


@dataclasses.dataclass(slots=True, eq=False)
class Job:
    """Calls that are executed together.

    Attributes
    ----------
    groups
        Their parts, by what is executed at once.
    began_s
        ``time.perf_counter()`` when it was taken from its queue.
    traffic
        How the model's requests were shared out then.
    thread
        Where it is executed apart; 0: nowhere yet.
    features
        Whether features are looked up; else they do not come, and what can be said without them is.
    seen_s
        How long it was seen being executed apart, in seconds.
    abandoned
        Whether its lookup was given up.
    """

    calls: list[Call]
    groups: list[list[Part]]
    rows: int
    began_s: float
    traffic: Traffic | None = None
    thread: int = 0
    features: bool = True
    seen_s: float = 0.0
    done: bool = False
    abandoned: bool = False

    def again(self, *, features: bool = True) -> Job:
        """The same, to be executed anew, whatever a thread still does with this one."""
        groups = [[dataclasses.replace(part, error=None, stood_in=False) for part in parts] for parts in self.groups]
        return Job(self.calls, groups, self.rows, time.perf_counter(), self.traffic, features=features)

    @property
    def apart(self) -> bool:
        """Whether one of its models, or the one that stands in, waits for another process: not on the event loop, then."""
        if self.traffic and self.traffic.standby and self.traffic.standby.apart:
            return True
        return any(parts[0].version.apart for parts in self.groups)

    def interrupt(self) -> bool:
        """End the processes of its models that are busy, and that do not come back; whether there were any."""
        versions = {id(part.version): part.version for parts in self.groups for part in parts}
        if self.traffic and self.traffic.standby:
            versions[id(self.traffic.standby)] = self.traffic.standby
        ended = [version.interrupt() for version in versions.values()]
        return any(ended)

    @property
    def looks_up_first(self) -> bool:
        """Whether it begins with a lookup of features."""
        return bool(self.groups) and looks_up(self.groups[0][0])


def looks_up(part: Part) -> bool:
    """Whether features are needed for a part: its client did not send them, and no rule answers."""
    return part.call.direct is None and part.role != "rule"


def lookup_limit_s(calls: Sequence[Call], limit_s: float, now_s: float) -> float:
    """How long a lookup may take: so long that half the time is left that the most impatient gives."""
    soonest_s = min((call.deadline_s for call in calls if call.deadline_s is not None), default=math.inf)
    return min(limit_s, max(0.0, soonest_s - now_s) / 2)


def no_features() -> FeaturesError:
    """What to tell those for whom the features did not come."""
    return FeaturesError("the features do not come in time", hint="try again in a moment")


def no_return() -> InternalError:
    """What to tell those whose model does not come back."""
    return InternalError("the model does not come back", hint="look at the recorded inputs")


def fault() -> InternalError:
    """What to tell those whose call met a fault of ours."""
    return InternalError("a fault in the server")
