"""Releases: which version answers, since when and why."""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec

RouteRole = OneOf["champion", "candidate", "standby"]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One version that is loaded and takes part in answering.

    Attributes
    ----------
    role
        A ``standby`` is the smaller version that answers where the others cannot; it has no share of its own.
    weight
        Share of keys a candidate answers, 0 to 1; the champion answers the rest. While a candidate exists each side
        also scores the other's requests in its shadow.
    held
        Whether the share stays until a person ends it: an A/B test.
    by
        Column of the asking row whose value decides who answers; ``""``: the row's key.
    """

    model: str
    version: int
    bundle: str
    role: RouteRole
    weight: float
    held: bool = False
    by: str = ""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How a version is let in, where not by a canary.

    Attributes
    ----------
    standby
        It answers where the others cannot.
    share
        Share of an A/B test, above 0 and below 1; 0: there is none.
    by
        Column whose value decides in an A/B test; ``""``: the row's key.
    """

    standby: bool = False
    share: float = 0.0
    by: str = ""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a model's traffic from ``from_us`` on; the newest one is in force.

    Attributes
    ----------
    revision
        1, 2, 3 … within the model; a change names the revision it saw, so that only one of two racers wins.
    action
        ``promote``, ``advance``, ``rollback``.
    """

    model: str
    revision: int
    from_us: int
    action: OneOf["promote", "advance", "rollback"]
    actor: str
    reason: str
    routes: tuple[Route, ...]

    @property
    def champion(self) -> Route | None:
        """The champion's route, if there is one."""
        return next((route for route in self.routes if route.role == "champion"), None)

    @property
    def candidate(self) -> Route | None:
        """The candidate's route, if there is one."""
        return next((route for route in self.routes if route.role == "candidate"), None)

    @property
    def standby(self) -> Route | None:
        """The route of the version that stands in, if there is one."""
        return next((route for route in self.routes if route.role == "standby"), None)


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout that ended did to whom.

    Attributes
    ----------
    outcome
        ``rolled-back`` or ``completed``.
    requests, failed
        Predictions recorded from the rollout's start to its end (one a row), and those that failed. Calls that were
        refused before they reached a version are not among them.
    answered_by_candidate
        Those that the candidate answered.
    detect_s, switch_s
        Seconds from the rollout's start to the decision, and from the decision to the last answer that a candidate
        taken back still gave; 0 if it gave none after the decision.
    evidence
        The comparison that decided, in words, one sentence each; what took it back comes first.
    """

    model: str
    champion: int
    candidate: int
    outcome: OneOf["rolled-back", "completed"]
    reason: str
    started_us: int
    ended_us: int
    requests: int
    failed: int
    answered_by_candidate: int
    detect_s: float
    switch_s: float
    evidence: tuple[str, ...]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change, chained to the one before: ``digest = SHA-256(previous digest + canonical JSON of the rest)``."""

    number: int
    time_us: int
    actor: str
    action: str
    subject: str
    details: dict[str, str]
    previous: str
    digest: str
