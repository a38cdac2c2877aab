"""Until when somebody waits for an answer, as its client says or else as the settings do.

A client names the time it waits in the way its transport offers: the header that Envoy, and what is built on it, sets by
itself; gRPC's deadline; or the parameter ``timeout`` of the Open Inference Protocol. Of several the shortest counts; zero
says nothing, as in Envoy and in Triton.

References
----------
Envoy, *Router*: ``x-envoy-expected-rq-timeout-ms``. gRPC over HTTP2: ``grpc-timeout``. Triton, *Schedule policy
extension*: ``timeout``, microseconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from seakeep.config import ServingSettings
from seakeep.errors import DeadlineError
from seakeep.serving.errors import RequestError

HEADER = b"x-envoy-expected-rq-timeout-ms"
"""Milliseconds from the moment at which the whole request has arrived."""
PARAMETER = "timeout"
"""Of an inference request: microseconds from that moment."""
MOST_US = 10**15
"""The longest time that can be named, about thirty years."""


def header_us(headers: Mapping[bytes, bytes]) -> int:
    """The time that a request's headers name, microseconds; 0 if they name none.

    Raises
    ------
    RequestError
        It is no time.
    """
    value = headers.get(HEADER)
    if value is None:
        return 0
    if not value.isdigit() or len(value) > 12:
        raise RequestError(400, f"{HEADER.decode()} is not a time", hint="send whole milliseconds, as in 250")
    return int(value) * 1000


def of_headers(headers: Mapping[bytes, bytes], arrived_s: float) -> float | None:
    """The deadline that a request's headers name; None: they name none. Raises as :func:`header_us` does."""
    return sooner(None, header_us(headers), arrived_s) if HEADER in headers else None


def sooner(deadline_s: float | None, timeout_us: int, arrived_s: float) -> float | None:
    """The sooner of a deadline and ``timeout_us`` (0: none) after ``arrived_s``; None: there is neither."""
    if not timeout_us:
        return deadline_s
    other_s = arrived_s + timeout_us / 1e6
    return other_s if deadline_s is None else min(deadline_s, other_s)


class Deadlines:
    """What requests get whose clients name no time.

    Parameters
    ----------
    settings
        The server's ``deadline_ms``, and those of its models.
    """

    def __init__(self, settings: ServingSettings) -> None:
        self._default_us = settings.deadline_ms * 1000
        self._by_model = {name: one.deadline_ms * 1000 for name, one in settings.models.items() if one.deadline_ms}
        self.any = bool(self._default_us or self._by_model)

    def of(self, model: str, arrived_s: float) -> float | None:
        """The deadline of a request to a model that arrived at a moment (``time.perf_counter()``); None: any time."""
        return sooner(None, self._by_model.get(model, self._default_us), arrived_s)


def check(deadline_s: float | None) -> None:
    """Refuse what nobody waits for any more.

    Raises
    ------
    DeadlineError
        The deadline has passed.
    """
    if deadline_s is not None and time.perf_counter() >= deadline_s:
        raise over()


def over() -> DeadlineError:
    """What to tell a client whose time is over."""
    return DeadlineError("the request's time was over before it was answered", hint="allow it more time")
