"""Who answers: the only place where releases are decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal as OneOf

import msgspec

from seakeep.clock import Clock
from seakeep.errors import ConflictError, GateError, NotFoundError
from seakeep.records.gate import GateResult
from seakeep.records.model import Canary
from seakeep.records.release import Release, Route
from seakeep.records.version import Version
from seakeep.registry.store import ReleaseStore

Action = OneOf["promote", "advance", "rollback"]

CONTROLLER = "rollout"
"""The actor of changes that no person asked for."""


class Promotion:
    """Changes releases, each in one transaction together with its entry in the audit log.

    A change names the revision it saw; of two that race, one wins and the other gets a :class:`ConflictError`.
    """

    def __init__(self, releases: ReleaseStore, *, clock: Clock) -> None:
        self._releases, self._clock = releases, clock

    def promote(
        self,
        version: Version,
        *,
        results: Sequence[GateResult],
        canary: Canary | None,
        actor: str,
        now: bool = False,
        override: str = "",
    ) -> Release:
        """Let a version answer: all requests where it has no champion to be compared with, else the first stage.

        Parameters
        ----------
        results
            What its gates found.
        canary
            The stages; None takes over at once.
        now
            Take over at once although there is a champion.
        override
            The reason to promote although gates failed; kept in the release and in the audit log.

        Raises
        ------
        GateError
            A gate failed or was not judged, and there is no ``override``.
        ConflictError
            It is the champion already, another candidate is being rolled out, or somebody else was first.
        """
        failed = _failed(results)
        if failed and not override.strip():
            raise GateError(
                f"{version.ref} did not pass: {failed}",
                hint=f"see `seakeep gates {version.ref}`; to promote it all the same: --override REASON",
            )
        history = self._releases.history(version.model)
        last = history[-1] if history else None
        share = canary.stages[0] if canary and not now else 1.0
        routes = entered(last, _route(version), share)
        how = "at once" if routes[-1].role == "champion" else f"for {share * 100:g} % of the keys"
        reason = f"passed {len(results)} gates; answers {how}" if not failed else f"override: {override}"
        details = {"gates": "; ".join(f"{one.gate}: {_word(one)}" for one in results), "override": override}
        return self._put(version.model, "promote", routes, last, (actor, reason), details)

    def advance(self, model: str, share: float, *, revision: int, reason: str, actor: str = CONTROLLER) -> Release:
        """Let the candidate answer a larger share; at 1 it becomes the champion.

        Raises
        ------
        ConflictError
            The release is not at ``revision`` any more, there is no candidate, or it answers that much already.
        """
        last = self._at(model, revision)
        if last.candidate is None:
            raise ConflictError(f"{model} has no candidate to advance", hint=f"see `seakeep history {model}`")
        if not share > last.candidate.weight:
            answered = f"{model}:{last.candidate.version} answers {last.candidate.weight * 100:g} % of the keys"
            raise ConflictError(f"{answered}, a share of {share:g} is no advance", hint="name a larger share")
        return self._put(model, "advance", entered(None, last.candidate, 1.0) if share >= 1 else widened(last, share),
                         last, (actor, reason), {"share": f"{share:g}"})  # fmt: skip

    def rollback(self, model: str, *, revision: int | None = None, reason: str, actor: str = CONTROLLER) -> Release:
        """Take back the candidate; without one, the champion before this one answers again.

        Raises
        ------
        NotFoundError
            There is nothing to go back to.
        ConflictError
            The release is not at ``revision`` any more.
        """
        history = self._releases.history(model)
        last = history[-1] if revision is None and history else self._at(model, revision or 0)
        routes = returned(history[: last.revision])
        if routes is None:
            raise NotFoundError(f"{model} has no champion before this one", hint=f"see `seakeep history {model}`")
        taken = last.candidate or last.champion
        return self._put(model, "rollback", routes, last, (actor, reason), {"taken-back": str(taken and taken.version)})

    def history(self, model: str) -> list[Release]:
        """All releases of a model, oldest first."""
        return self._releases.history(model)

    def at(self, model: str, moment_us: int) -> Release | None:
        """The release that was in force at a moment; None before the first."""
        past = [release for release in self._releases.history(model) if release.from_us <= moment_us]
        return past[-1] if past else None

    def _at(self, model: str, revision: int) -> Release:
        history = self._releases.history(model)
        if not history:
            raise NotFoundError(f"nothing of {model} was ever released", hint=f"seakeep promote {model}@candidate")
        if history[-1].revision != revision:
            raise ConflictError(
                f"the release of {model} is at revision {history[-1].revision}, not {revision}",
                hint=f"somebody else changed it: see `seakeep history {model}`",
            )
        return history[-1]

    def _put(
        self,
        model: str,
        action: Action,
        routes: tuple[Route, ...],
        last: Release | None,
        who: tuple[str, str],
        details: dict[str, str],
    ) -> Release:
        actor, reason = who
        release = Release(
            model=model,
            revision=last.revision + 1 if last else 1,
            # Never before the one it follows, whatever the machine's clock did.
            from_us=max(self._clock.now_us(), last.from_us + 1 if last else 0),
            action=action,
            actor=actor,
            reason=reason,
            routes=routes,
        )
        self._releases.append(release, details=details)
        return release


def entered(last: Release | None, route: Route, share: float) -> tuple[Route, ...]:
    """The routes after a version was let in: as the champion where it has nobody to be compared with.

    Raises
    ------
    ConflictError
        It is the champion already, or there is another candidate.
    """
    champion = last.champion if last else None
    if champion and champion.version == route.version:
        raise ConflictError(f"{route.model}:{route.version} is the champion already", hint="there is nothing to do")
    if last and last.candidate:
        raise ConflictError(
            f"{route.model}:{last.candidate.version} is being rolled out",
            hint=f"wait for its receipt, or take it back: seakeep rollback {route.model}",
        )
    if champion is None or share >= 1:
        return (msgspec.structs.replace(route, role="champion", weight=1.0),)
    return champion, msgspec.structs.replace(route, role="candidate", weight=share)


def widened(last: Release, share: float) -> tuple[Route, ...]:
    """The routes with another share for the candidate."""
    return tuple(
        msgspec.structs.replace(route, weight=share) if route.role == "candidate" else route for route in last.routes
    )


def returned(history: Sequence[Release]) -> tuple[Route, ...] | None:
    """The routes after going back: without the candidate, or with the champion before the one in force.

    A champion that was itself gone back from is not returned to: going back twice goes back further. None if there is
    nothing to go back to.
    """
    if not history:
        return None
    if history[-1].candidate:
        return tuple(route for route in history[-1].routes if route.role == "champion")
    champions: list[Route] = []
    for release in history:
        champion = release.champion
        if champion is None:
            continue
        if release.action == "rollback" and len(champions) > 1 and champions[-2].version == champion.version:
            champions.pop()
        elif not champions or champions[-1].version != champion.version:
            champions.append(champion)
    return (champions[-2],) if len(champions) > 1 else None


def _route(version: Version) -> Route:
    return Route(model=version.model, version=version.number, bundle=version.bundle, role="champion", weight=1.0)


def _failed(results: Sequence[GateResult]) -> str:
    """What stands against a version, in words; ``""`` if nothing does."""
    if not results:
        return "no gate was judged"
    return "; ".join(f"{one.gate}: {one.observed}, required {one.required}" for one in results if not one.passed)


def _word(result: GateResult) -> str:
    return "passed" if result.passed else "failed"
