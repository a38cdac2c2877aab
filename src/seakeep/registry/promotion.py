"""Who answers: the only place where releases are decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal as OneOf

import msgspec

from seakeep.clock import Clock
from seakeep.errors import ConflictError, GateError, NotFoundError
from seakeep.records.gate import GateResult
from seakeep.records.model import Canary
from seakeep.records.release import Release, Route, Way
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
        way: Way | None = None,
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
        way
            As the version that stands in, or in an A/B test, in the place of a canary.

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
        routes, how = _let_in(last, _route(version), 1.0 if now or not canary else canary.stages[0], way or Way())
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
        return self._put(model, "advance", promoted(last, last.candidate) if share >= 1 else widened(last, share),
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

    def withdraw(self, model: str, *, reason: str, actor: str) -> Release:
        """Take away the version that stands in; NotFoundError if there is none."""
        history = self._releases.history(model)
        last = history[-1] if history else None
        if last is None or last.standby is None:
            raise NotFoundError(f"no version of {model} stands by", hint=f"see `seakeep history {model}`")
        routes = tuple(route for route in last.routes if route.role != "standby")
        return self._put(
            model, "rollback", routes, last, (actor, reason), {"taken-back": f"{last.standby.version}, standing by"}
        )

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


def _let_in(last: Release | None, route: Route, share: float, way: Way) -> tuple[tuple[Route, ...], str]:
    """The routes after a version was let in, and in words how it answers.

    Raises
    ------
    ConflictError
        It cannot be let in this way.
    """
    champion = last.champion if last else None
    if way.standby or way.share:
        if last is None or champion is None:
            raise ConflictError(f"{route.model} has no champion yet", hint="promote one first")
        if champion.version == route.version:
            raise ConflictError(f"{route.model}:{route.version} is the champion already", hint="name another version")
    if way.standby and last:
        others = tuple(one for one in last.routes if one.role != "standby")
        return (*others, msgspec.structs.replace(route, role="standby", weight=0.0)), "where the others cannot"
    if way.share:
        if not 0 < way.share < 1:
            raise ConflictError(f"{way.share:g} is not a share", hint="name one above 0 and below 1, as in 0.5")
        routes = tuple(
            msgspec.structs.replace(one, held=True, by=way.by) if one.role == "candidate" else one
            for one in entered(last, route, way.share)
        )
        return routes, f"for {way.share * 100:g} % of the {way.by or 'keys'}, until that is ended"
    current = last.candidate if last else None
    if last and current and current.held and current.version == route.version and share >= 1:
        return promoted(last, current), "at once"
    routes = entered(last, route, share)
    by_canary = any(one.role == "candidate" for one in routes)
    return routes, f"for {share * 100:g} % of the keys" if by_canary else "at once"


def promoted(last: Release, route: Route) -> tuple[Route, ...]:
    """The routes after a version became the champion; what stands by goes on doing so."""
    standing_by = tuple(one for one in last.routes if one.role == "standby" and one.version != route.version)
    return msgspec.structs.replace(route, role="champion", weight=1.0, held=False, by=""), *standing_by


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
    if champion is None or last is None:
        return (msgspec.structs.replace(route, role="champion", weight=1.0),)
    if share >= 1:
        return promoted(last, route)
    standing_by = tuple(one for one in last.routes if one.role == "standby" and one.version != route.version)
    return champion, msgspec.structs.replace(route, role="candidate", weight=share), *standing_by


def widened(last: Release, share: float) -> tuple[Route, ...]:
    """The routes with another share for the candidate."""
    return tuple(
        msgspec.structs.replace(route, weight=share) if route.role == "candidate" else route for route in last.routes
    )


def returned(history: Sequence[Release]) -> tuple[Route, ...] | None:
    """The routes after going back: without the candidate, or with the champion before the one in force.

    None if there is nothing to go back to.
    """
    if not history:
        return None
    if history[-1].candidate:
        return tuple(route for route in history[-1].routes if route.role != "candidate")
    before = champions(history)[:-1]
    if not before:
        return None
    standing_by = tuple(one for one in history[-1].routes if one.role == "standby")
    return before[-1], *(one for one in standing_by if one.version != before[-1].version)


def champions(history: Sequence[Release]) -> list[Route]:
    """The champion in force, last, after those that can be gone back to.

    A champion that was itself gone back from is not returned to: going back twice goes back further.
    """
    found: list[Route] = []
    for release in history:
        champion = release.champion
        if champion is None:
            continue
        if release.action == "rollback" and len(found) > 1 and found[-2].version == champion.version:
            found.pop()
        elif not found or found[-1].version != champion.version:
            found.append(champion)
    return found


def _route(version: Version) -> Route:
    return Route(model=version.model, version=version.number, bundle=version.bundle, role="champion", weight=1.0)


def _failed(results: Sequence[GateResult]) -> str:
    """What stands against a version, in words; ``""`` if nothing does."""
    if not results:
        return "no gate was judged"
    return "; ".join(f"{one.gate}: {one.observed}, required {one.required}" for one in results if not one.passed)


def _word(result: GateResult) -> str:
    return "passed" if result.passed else "failed"
