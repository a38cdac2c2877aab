"""From a version to production: gates with evidence, promotion, rollback and the history of both."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from seakeep.clock import Clock
from seakeep.conversion.latency import measure
from seakeep.errors import ConflictError, NotFoundError, did_you_mean
from seakeep.project.build import Builder
from seakeep.project.load import LoadedProject
from seakeep.project.online import OnlineViews
from seakeep.project.stores import Stores
from seakeep.records.gate import GateResult
from seakeep.records.release import Release, Way
from seakeep.records.version import Version, parse_reference
from seakeep.registry.bundle import Bundle
from seakeep.registry.evidence import ChampionEvidence, Evidence, against_champion
from seakeep.registry.gates import judge
from seakeep.registry.promotion import champions


class Releaser:
    """Judges versions and decides who answers.

    Parameters
    ----------
    builder
        Gives the rows that runs were judged on.
    online
        Fills the features of a version before it may answer.
    """

    def __init__(
        self, loaded: LoadedProject, stores: Stores, builder: Builder, online: OnlineViews, clock: Clock
    ) -> None:
        self._loaded, self._stores, self._builder, self._online = loaded, stores, builder, online
        self._clock = clock

    def resolve(self, reference: str) -> Version:
        """The version a reference names.

        Raises
        ------
        NotFoundError
            There is no such model or version.
        """
        parsed = parse_reference(reference)
        model = self._loaded.model(parsed.model).name
        if parsed.number:
            return self._stores.versions.get(model, parsed.number)
        current = self.current(model)
        champion = current.champion.version if current and current.champion else 0
        if parsed.role == "champion":
            if not champion:
                raise NotFoundError(
                    f"{model} has no champion yet", hint=f"promote one: seakeep promote {model}@candidate"
                )
            return self._stores.versions.get(model, champion)
        if current and current.candidate:
            return self._stores.versions.get(model, current.candidate.version)
        newest = self._stores.versions.list(model)[:1]
        if not newest or newest[0].number == champion:
            raise NotFoundError(f"{model} has no candidate", hint="make one: seakeep train, then seakeep convert")
        return newest[0]

    def current(self, model: str) -> Release | None:
        """The release in force."""
        history = self._stores.releases.history(model)
        return history[-1] if history else None

    def gates(self, version: Version, *, actor: str) -> tuple[GateResult, ...]:
        """Gather evidence now, judge, and keep the results."""
        bundle = self._stores.bundles.open(version.bundle)
        results = judge(self._loaded.model(version.model).gates, self._evidence(version, bundle))
        self._stores.gates.put(version.model, version.number, results, actor=actor, now_us=self._clock.now_us())
        return results

    def promote(self, version: Version, *, actor: str, now: bool, override: str, way: Way | None = None) -> Release:
        """Let a version answer, by canary where there is a champion to compare it with.

        Its features are filled before it may answer.

        Raises
        ------
        NotFoundError
            An A/B test goes by a column that the asking rows do not have.
        ConflictError
            The champion answers with something of another kind: the two cannot be compared.
        """
        bundle = self._stores.bundles.open(version.bundle)
        current = self.current(version.model)
        if current and current.champion and not now:
            outputs = self._stores.bundles.open(current.champion.bundle).definition.label.outputs
            if outputs != bundle.definition.label.outputs:
                message = f"{version.ref} cannot be compared with the champion, which answers with a {outputs.word}"
                raise ConflictError(
                    message, hint="give the new model a name of its own, or promote it at once with --now"
                )
        request = bundle.definition.request.name
        columns = [column.name for column in bundle.definition.schemas[request]]
        if way and way.by and way.by not in columns:
            message = f"{request!r} has no column {way.by!r} that {version.ref} reads"
            raise NotFoundError(message, hint=did_you_mean(way.by, columns))
        results = self.gates(version, actor=actor)
        self._online.fill([bundle])
        return self._stores.promotion.promote(
            version,
            results=results,
            canary=self._loaded.model(version.model).rollout,
            actor=actor,
            now=now,
            override=override,
            way=way,
        )

    def rollback(self, model: str, *, reason: str, actor: str) -> Release:
        """Take back the candidate, or else go back to the champion before this one; NotFoundError if there is none.

        Features that were let go of since that one was served are filled before it may answer.
        """
        name = self._loaded.model(model).name
        history = self._stores.releases.history(name)
        # Also where a candidate is to be taken back: somebody else may do so meanwhile.
        for before in champions(history)[-2:-1]:
            self._online.fill_again(self._stores.bundles.open(before.bundle))
        return self._stores.promotion.rollback(name, reason=reason, actor=actor)

    def history(self, model: str, at_us: int | None) -> Sequence[Release]:
        """All releases, oldest first; with a moment only the one that was in force then."""
        name = self._loaded.model(model).name
        if at_us is None:
            return self._stores.promotion.history(name)
        found = self._stores.promotion.at(name, at_us)
        return [found] if found else []

    def _evidence(self, version: Version, bundle: Bundle) -> Evidence:
        from seakeep.conversion.session import ScoringSession

        frame = self._builder.validation(bundle.run)
        session = ScoringSession(bundle.model)
        evidence = Evidence(run=bundle.run, proof=bundle.proof, latency=measure(session, frame))
        current = self.current(version.model)
        if current is None or current.champion is None or current.champion.version == version.number:
            return evidence
        champion = self._stores.bundles.open(current.champion.bundle)
        if champion.definition.label.outputs != bundle.definition.label.outputs:
            word = champion.definition.label.outputs.word
            other = ChampionEvidence(
                champion=f"{version.model}:{current.champion.version}", obstacle=f"it answers with a {word}"
            )
            return msgspec.structs.replace(evidence, champion=other)
        against = against_champion(
            champion=f"{version.model}:{current.champion.version}",
            frame=frame,
            candidate_columns=bundle.definition.columns,
            candidate_model=session,
            champion_columns=champion.definition.columns,
            champion_model=ScoringSession(champion.model),
            outputs=bundle.definition.label.outputs,
        )
        return msgspec.structs.replace(evidence, champion=against)
