"""Recorded traffic through any version: the same one, a candidate, or two beside one another."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from seakeep.clock import DAY_US
from seakeep.errors import DataError, NotFoundError, SeakeepError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seakeep.config import Home
    from seakeep.project.load import LoadedProject
    from seakeep.project.profiling import ProfileOptions
    from seakeep.project.stores import Stores
    from seakeep.recorder.policy import Policies
    from seakeep.recorder.query import Extent, Query
    from seakeep.recorder.table import OutcomeTable, PredictionTable
    from seakeep.records.feature import FeatureColumn
    from seakeep.records.model import ModelDefinition
    from seakeep.records.profile import Profile
    from seakeep.records.replay import Replay, ShadowDifference, WhatIf
    from seakeep.records.version import Version
    from seakeep.registry.bundle import Bundle
    from seakeep.replay.execute import Executable
    from seakeep.replay.inputs import History

WEEK_US = 7 * DAY_US


class _Traffic(NamedTuple):
    """A period's answered requests: how to ask for them, and what they are about."""

    query: Query
    extent: Extent


class Past:
    """Executes recorded requests again; nothing is imported for it before it is asked.

    Parameters
    ----------
    resolve
        The version that a reference names.
    """

    def __init__(self, loaded: LoadedProject, home: Home, stores: Stores, resolve: Callable[[str], Version]) -> None:
        self._loaded, self._home, self._stores, self._resolve = loaded, home, stores, resolve
        self._definitions: dict[tuple[str, int], ModelDefinition] = {}

    @functools.cached_property
    def _policies(self) -> Policies:
        from seakeep.recorder.policy import Policies

        return Policies(self._stores.protector)

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
        from seakeep.replay.inputs import refuse_unread

        began_s = time.perf_counter()
        version = self._resolve(reference or self._loaded.model().name)
        traffic = self._traffic(version.model, from_us, to_us)
        executable = self._executable(version, traffic)
        tally = Tally(executable.threshold, executable.outputs)
        for block in execute(self._blocks(traffic, [executable]), [executable], threads=_cores()):
            tally.add(block)
        if tally.unmatched and not tally.versions:
            refuse_unread(version.ref, executable.inputs.recomputed, tally.unmatched)
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
        traffic = self._traffic(new.model, from_us, to_us)
        versions = [self._executable(new, traffic), self._executable(old, traffic)]
        if versions[0].outputs != versions[1].outputs:
            message = f"{new.ref} and {old.ref} answer with different things: a {versions[0].outputs.word} and a {versions[1].outputs.word}"
            raise NotFoundError(message, hint="name a version whose label is of the same kind")
        categories = functools.partial(self._categories, new.model)
        gathering = Gathering(*versions, labels=self._labels(new), categories=categories)
        for block in execute(self._blocks(traffic, versions), versions, threads=_cores()):
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
            definition.label.outputs,
        )

    def profile(
        self,
        model: str = "",
        *,
        rate: float | None = None,
        from_us: int | None = None,
        to_us: int | None = None,
        options: ProfileOptions | None = None,
    ) -> Profile:
        """How one worker answers recorded requests at a rate, or at rates up to beyond what it can do, and what follows.

        The worker is private: it has ports of its own, and nothing it records or counts is added to the project's.

        Parameters
        ----------
        rate
            Requests a second; None: rates in steps, up to beyond the capacity.
        from_us, to_us
            Requests that speak for a moment in ``[from_us, to_us)``; all where None.

        Raises
        ------
        NotFoundError
            No request of this period is recorded.
        ServingError
            The worker refuses the recorded requests.
        """
        from seakeep.project.profiling import ProfileOptions, Profiler

        name = self._loaded.model(model).name
        traffic = self._traffic(name, from_us, to_us)
        profiler = Profiler(self._loaded, self._home, self._stores, options or ProfileOptions())
        return profiler.profile(self._resolve(name), self._blocks(traffic, requests=True), rate)

    def _traffic(self, model: str, from_us: int | None, to_us: int | None) -> _Traffic:
        """What was answered in a period."""
        from seakeep.recorder.query import Query, extent
        from seakeep.records.prediction import EXECUTED

        query = Query(model=model, roles=EXECUTED, from_us=from_us, to_us=to_us)
        return _Traffic(query, extent(self._home.predictions, query, damage=[]))

    def _blocks(
        self, traffic: _Traffic, versions: Sequence[Executable] = (), *, requests: bool = False
    ) -> Iterator[PredictionTable]:
        """The traffic block by block; with its requests if an input must be recomputed from them."""
        from seakeep.recorder.query import blocks

        requests = requests or any(one.inputs.needs_requests(traffic.extent.versions) for one in versions)
        for table in blocks(self._home.predictions, traffic.query, requests=requests, damage=[]):
            definition = self._definition(traffic.query.model, int(table.version[0]))
            yield self._policies.reveal_table(table, definition)

    def _executable(self, version: Version, traffic: _Traffic) -> Executable:
        from seakeep.conversion.engine import open_session
        from seakeep.replay.execute import Executable
        from seakeep.replay.inputs import InputSource

        bundle = self._stores.bundles.open(version.bundle)
        return Executable(
            number=version.number,
            threshold=bundle.threshold,
            scorer=open_session(bundle.model, engines=self._home.engines),
            outputs=bundle.definition.label.outputs,
            inputs=InputSource(
                bundle.definition,
                lambda number: self._definition(version.model, number),
                lambda columns: self._history(version, bundle, columns, traffic),
            ),
        )

    def _history(
        self, version: Version, bundle: Bundle, columns: tuple[FeatureColumn, ...], traffic: _Traffic
    ) -> History:
        """What a version needs to compute some of its inputs for the traffic.

        A source that the service was never sent is read from the project's table where the traffic is newer than the
        version's dataset.
        """
        from seakeep.data.version import load
        from seakeep.features.personal import unreadable
        from seakeep.project.online import dataset_of
        from seakeep.project.recompute import PastFeatures, known, part_of

        definition, run = part_of(bundle.definition, columns), bundle.run
        newer = traffic.extent.newest_us is not None and traffic.extent.newest_us >= run.as_of_us
        try:
            dataset = load(dataset_of(run, self._stores), self._stores.datasets)
            tables = known(
                definition,
                dataset,
                self._home.events,
                as_of_us=run.as_of_us,
                reveal=self._policies.reveal_events,
                silent=self._loaded.read if newer else None,
            )
        except SeakeepError as error:
            names = ", ".join(column.name for column in columns)
            message = f"{version.ref} needs {names}: not recorded, and not to be recomputed, for {error.message}"
            raise DataError(message, hint=error.hint) from error
        return PastFeatures(
            definition, tables, lambda number: unreadable(self._definition(version.model, number).request)
        )

    def _definition(self, model: str, number: int) -> ModelDefinition:
        place = (model, number)
        if place not in self._definitions:
            bundle = self._stores.versions.get(model, number).bundle
            self._definitions[place] = self._stores.bundles.open(bundle).definition
        return self._definitions[place]

    def _categories(self, model: str, number: int, values: NDArray[np.object_]) -> Mapping[str, NDArray[Any]]:
        definition = self._definition(model, number)
        names = [column.name for column in definition.columns if column.kind == "category"]
        return self._policies.as_written(definition, dict(zip(names, values.T, strict=True)))

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
        if to_us is None:
            newest_us = self._traffic(model, None, None).extent.newest_us
            if newest_us is None:
                raise NotFoundError(f"{model} has no recorded predictions yet", hint="ask it something first")
            to_us = newest_us + 1
        return to_us - WEEK_US if from_us is None else from_us, to_us


def _cores() -> int:
    return len(os.sched_getaffinity(0))
