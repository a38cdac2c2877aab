"""Classes of requests: who may wait least, and who is turned away first when there is too much.

A request names its class by a header or by the parameter ``priority`` of the Open Inference Protocol, as Triton has it: 1 is
the most urgent, larger is less, 0 says nothing. What counts is at most what the settings allow its key, so that a stranger
cannot jump the queue.

References
----------
Beyer et al. (2016), *Site Reliability Engineering*, chapter 21: criticality. Triton, *Schedule policy extension*.
"""

from __future__ import annotations

from collections.abc import Mapping

from seakeep.config import PRIORITIES, ServingSettings
from seakeep.serving.errors import RequestError

HEADER = b"seakeep-priority"
PARAMETER = "priority"
MOST = 2**32 - 1
"""The largest value of the parameter."""
CRITICAL, NORMAL, SHEDDABLE = range(len(PRIORITIES))
"""Ranks: a smaller one goes first."""

_BY_NAME = {name.encode(): rank for rank, name in enumerate(PRIORITIES)}


class Ranks:
    """The rank of each request.

    Parameters
    ----------
    settings
        The highest class of each key; a key that is not named may be ``normal`` at most.
    """

    def __init__(self, settings: ServingSettings) -> None:
        self._most = {name: PRIORITIES.index(key.priority) for name, key in settings.keys.items()}

    def most(self, principal: str) -> int:
        """The highest rank that a principal may have."""
        return self._most.get(principal, NORMAL) if self._most else NORMAL

    def of(self, principal: str, headers: Mapping[bytes, bytes]) -> int:
        """The rank of a request by its headers and its principal.

        Raises
        ------
        RequestError
            It names a class that there is not.
        """
        named = headers.get(HEADER)
        if named is None:
            return max(NORMAL, self.most(principal)) if self._most else NORMAL
        most = self.most(principal)
        rank = _BY_NAME.get(named.strip().lower())
        if rank is None:
            message = f"{HEADER.decode()} is not a class of requests"
            raise RequestError(400, message, hint=f"classes: {', '.join(PRIORITIES)}")
        return max(rank, most)


def lowered(rank: int, parameter: int, most: int) -> int:
    """A rank after the protocol's parameter (0: not given) was heard: it may ask for more than ``rank``, up to ``most``."""
    return max(min(parameter - 1, SHEDDABLE), most) if parameter else rank
