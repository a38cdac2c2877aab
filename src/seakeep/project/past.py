"""Recorded traffic through any version: the same one, a candidate, or two beside one another."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from seakeep.clock import DAY_US
from seakeep.errors import DataError, NotFoundError, SeakeepError

if TYPE_CHECKING:
    from seakeep.config import Home
    from seakeep.project.load import LoadedProject
    from seakeep.project.stores import Stores
    from seakeep.recorder.table import OutcomeTable, PredictionTable
    from seakeep.records.feature import FeatureColumn
    from seakeep.records.model import ModelDefinition
    from seakeep.records.replay import Replay, ShadowDifference, WhatIf
    from seakeep.records.version import Version
    from seakeep.replay.execute import Executable
    from seakeep.replay.inputs import History

WEEK_US = 7 * DAY_US


class Past:
    """Executes recorded requests again; nothing is imported for it before it is asked.

    Parameters
    ----------
    resolve
        The version that a reference names.
    """

    def __init__(self, loaded: LoadedProject, home: Home, stores: Stores, resolve: Callable[[str], Version]) -> None:
        self._loaded, self._home, self._stores, self._resolve = loaded, home, stores, resolve

    def replay(self, reference: str = "", *, from_us: int | None = None, to_us: int | None = None) -> Replay:
        """Execute a range of recorded traffic again by a version, in bounded memory, and compare with what was answered.

        Parameters
        ----------
        reference
            Of the version that executes; by default the champion of the only model.
        from_us, to_us
            Only requests that speak for a moment in ``[from_us, to_us)``; all where None.

        Raises
        ------
        DataError
            An input of the version is not recorded and cannot be recomputed.
        """
        from seakeep.records.replay import Replay
        from seakeep.replay.execute import execute
        from seakeep.replay.identity import Tally

        began_s = time.perf_counter()
        version = self._resolve(reference or self._loaded.model().name)
        executable = self._executable(version)
        tally = Tally(executable.threshold)
        for block in execute(self._answered(version.model, from_us, to_us), [executable], threads=_cores()):
            tally.add(block)
        return Replay(
            model=version.model,
            version=version.number,
            from_us=from_us,
            to_us=to_us,
            failed=tally.failed,
            unmatched=tally.unmatched,
            recomputed=executable.inputs.recomputed,
            versions=tuple(tally.versions[number] for number in sorted(tally.versions)),
            seconds=time.perf_counter() - began_s,
        )

    def whatif(
        self, candidate: str, *, against: str = "", from_us: int | None = None, to_us: int | None = None
    ) -> WhatIf:
        """What a candidate would have done to recorded traffic, beside another version, with the features as they were.

        Parameters
        ----------
        candidate
            Its reference.
        against
            Reference of the other version; by default the champion.
        from_us, to_us
            Requests that speak for a moment in ``[from_us, to_us)``; by default the last recorded week.

        Raises
        ------
        DataError
            An input of a version is not recorded and cannot be recomputed.
        NotFoundError
            No request of this period is recorded.
        """
        from seakeep.replay.execute import execute
        from seakeep.replay.gather import Gathering

        new = self._resolve(candidate)
        old = self._resolve(against or new.model)
        if old.model != new.model:
            message = f"{new.ref} and {old.ref} are versions of different models"
            raise NotFoundError(message, hint=f"name a version of {new.model}")
        from_us, to_us = self._period(new.model, from_us, to_us)
        versions = [self._executable(new), self._executable(old)]
        gathering = Gathering(*versions, labels=self._labels(new), categories=self._categories(new.model))
        for block in execute(self._answered(new.model, from_us, to_us), versions, threads=_cores()):
            gathering.add(block)
        return gathering.result(new.model, from_us=from_us, to_us=to_us)

    def shadow(self, model: str = "") -> ShadowDifference:
        """How champion and candidate differ on live requests: in the rollout that goes on, or else in the last one.

        Raises
        ------
        NotFoundError
            There was no rollout yet.
        """
        from seakeep.monitoring.history import Labelled
        from seakeep.recorder.pairs import pairs_of
        from seakeep.replay.shadow import Thresholds, shadow_difference
        from seakeep.serving.rollout import spans

        name = self._loaded.model(model).name
        found = spans(self._stores.releases.history(name))
        if not found:
            message = f"{name} has had no rollout yet: there are no requests that two versions scored"
            raise NotFoundError(
                message, hint=f"promote a candidate beside the champion: seakeep promote {name}@candidate"
            )
        span = found[-1]
        champion, candidate = (self._stores.versions.get(name, one) for one in (span.champion, span.candidate))
        table = self._paired(name, (champion.number, candidate.number), span.started.from_us)
        definition = self._stores.bundles.open(champion.bundle).definition
        rows = Labelled.join(table, self._outcomes(definition))
        pairs = pairs_of(
            table,
            champion.number,
            candidate.number,
            label=rows.value,
            known_us=rows.known_us,
            delay_us=definition.label.delay_us,
        )
        return shadow_difference(
            name,
            span,
            pairs,
            Thresholds(champion=champion.threshold, candidate=candidate.threshold),
        )

    def _executable(self, version: Version) -> Executable:
        from seakeep.conversion.session import ScoringSession
        from seakeep.replay.execute import Executable
        from seakeep.replay.inputs import InputSource

        bundle = self._stores.bundles.open(version.bundle)
        return Executable(
            number=version.number,
            threshold=bundle.threshold,
            scorer=ScoringSession(bundle.model),
            inputs=InputSource(
                bundle.definition,
                lambda number: self._definition(version.model, number),
                lambda columns: self._history(version, bundle.definition, columns),
            ),
        )

    def _history(self, version: Version, definition: ModelDefinition, columns: tuple[FeatureColumn, ...]) -> History:
        from seakeep.project.history import PastFeatures

        try:
            return PastFeatures(self._loaded, definition, columns)
        except SeakeepError as error:
            names = ", ".join(column.name for column in columns)
            message = f"{version.ref} needs {names}: not recorded, and not to be recomputed, for {error.message}"
            raise DataError(message, hint=error.hint) from error

    def _definition(self, model: str, number: int) -> ModelDefinition:
        return self._stores.bundles.open(self._stores.versions.get(model, number).bundle).definition

    def _categories(self, model: str) -> Callable[[int], Sequence[str]]:
        @functools.cache
        def names(number: int) -> Sequence[str]:
            columns = self._definition(model, number).columns
            return [column.name for column in columns if column.kind == "category"]

        return names

    def _answered(self, model: str, from_us: int | None, to_us: int | None) -> Iterator[PredictionTable]:
        from seakeep.recorder.query import Query, blocks
        from seakeep.records.prediction import ANSWERED

        query = Query(model=model, roles=ANSWERED, from_us=from_us, to_us=to_us)
        return blocks(self._home.predictions, query, damage=[])

    def _paired(self, model: str, versions: tuple[int, int], since_us: int) -> PredictionTable:
        """What two versions made of the requests recorded since a moment, without their inputs, in that order."""
        import numpy as np

        from seakeep.recorder.query import Query, load

        table = load(self._home.predictions, Query(model=model, versions=versions), inputs=False, damage=[])
        table = table.select(table.recorded_us >= since_us)
        return table.select(np.argsort(table.recorded_us, kind="stable"))

    def _labels(self, version: Version) -> dict[str, float]:
        """The outcomes known by now, by key, as a version defines them."""
        told = self._outcomes(self._stores.bundles.open(version.bundle).definition)
        return {key: value for key, value in zip(told.key.tolist(), told.value.tolist(), strict=True) if key}

    def _outcomes(self, definition: ModelDefinition) -> OutcomeTable:
        from seakeep.recorder.query import outcomes

        label = definition.label
        return outcomes(self._home.events, label, definition.schemas[label.source.name], damage=[])

    def _period(self, model: str, from_us: int | None, to_us: int | None) -> tuple[int, int]:
        """A period as asked for, or the week that ends with the newest request."""
        from seakeep.recorder.query import Query, latest_us
        from seakeep.records.prediction import ANSWERED

        if to_us is None:
            newest_us = latest_us(self._home.predictions, Query(model=model, roles=ANSWERED), damage=[])
            if newest_us is None:
                raise NotFoundError(f"{model} has no recorded predictions yet", hint="ask it something first")
            to_us = newest_us + 1
        return to_us - WEEK_US if from_us is None else from_us, to_us


def _cores() -> int:
    return len(os.sched_getaffinity(0))
