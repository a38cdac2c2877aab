"""Files of rows through a version of the project, as its service would answer each of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seakeep.clock import Clock, FixedClock, TimeOrderedIds
from seakeep.errors import DataError, PlatformError, did_you_mean

if TYPE_CHECKING:
    from seakeep.config import Home
    from seakeep.features.online import OnlineStore
    from seakeep.features.service import FeatureService
    from seakeep.project.load import LoadedProject
    from seakeep.project.online import OnlineViews
    from seakeep.project.stores import Stores
    from seakeep.records.scoring import InputFile, Scored, ScoringPlan
    from seakeep.records.version import Version
    from seakeep.registry.bundle import Bundle
    from seakeep.scoring.forms import Held
    from seakeep.scoring.inputs import TableFile
    from seakeep.serving.loaded import LoadedVersion

_NEVER = 2**62
EVERY = "*"
"""In the place of the names of columns to keep: all of them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """How to score.

    Attributes
    ----------
    keep
        Input columns that the output repeats; ``*``: all.
    part_rows
        Most rows in one file of the output.
    moment_us
        The moment for which rows without a time of their own ask; None: now, or when the job was begun.
    history
        Whether features are those that were known at each row's moment, by the version's dataset and the recorded events,
        also where the service has let go of what it needs no more.
    delimiter
        What separates the cells of CSV: one character.
    on_progress
        Is told how many rows are done, and of how many.
    """

    keep: Sequence[str] = ()
    part_rows: int = 100_000
    moment_us: int | None = None
    history: bool = False
    delimiter: str = ","
    on_progress: Callable[[int, int], None] = lambda _done, _rows: None


class BatchScoring:
    """Scores files; nothing is imported for it before it is asked.

    Parameters
    ----------
    resolve
        The version that a reference names.
    """

    def __init__(
        self,
        loaded: LoadedProject,
        home: Home,
        stores: Stores,
        online: OnlineViews,
        resolve: Callable[[str], Version],
        clock: Clock,
    ) -> None:
        self._project, self._home, self._stores, self._online = loaded, home, stores, online
        self._resolve, self._clock = resolve, clock

    def score(self, reference: str, inputs: Sequence[str], to: Path, options: ScoreOptions | None = None) -> Scored:
        """Score files, in constant memory; a job that was interrupted goes on where its output ends.

        Parameters
        ----------
        reference
            Of the version that answers.
        inputs
            Paths of Parquet, CSV or JSON-lines files, folders of them, Delta tables, and patterns of any.
        to
            A folder of Parquet files, with ``_SUCCESS`` once all is there; see :mod:`seakeep.scoring.output`.

        Raises
        ------
        DataError
            An input cannot be read or scored, or the folder is of another job.
        PlatformError
            The output cannot be written.
        """
        from seakeep.scoring.engine import engine
        from seakeep.scoring.inputs import Inputs
        from seakeep.scoring.output import Output
        from seakeep.scoring.score import Answerer, refuse_alike, score
        from seakeep.serving.batch import BatchRunner

        options = options or ScoreOptions()
        version = self._resolve(reference)
        definition = self._stores.bundles.open(version.bundle).definition
        with engine() as connection, Output(to, connection) as output:
            reader = Inputs(connection, _read_table, options.delimiter)
            plan = self._plan(
                version, reader.find(inputs, output.plan.tables if output.plan else {}), output.plan, options
            )
            _refuse_own(to, plan.inputs)
            refuse_alike(definition.label.outputs.names)
            files = [reader.held(one, definition) for one in plan.inputs]
            plan = _settled(plan, files, definition.request.time)
            output.begin(plan)
            if output.done:
                return output.done
            with self._loaded(version, history=plan.history) as (loaded, features, needed):
                clock = self._clock if plan.moment_us is None else FixedClock(plan.moment_us)
                runner = BatchRunner(
                    features,
                    clock=clock,
                    ids=TimeOrderedIds(self._clock),
                    mode="request" if plan.moment_us is None else "wall",
                )
                answerer = Answerer(loaded, runner)
                return score(plan, files, reader, output, answerer, each_part=needed, on_progress=options.on_progress)

    def _plan(
        self,
        version: Version,
        found: tuple[Sequence[InputFile], dict[str, int]],
        begun: ScoringPlan | None,
        options: ScoreOptions,
    ) -> ScoringPlan:
        """What is asked for; where a job was begun, for the same moment."""
        from seakeep.records.scoring import ScoringPlan

        inputs, tables = found
        moment_us = options.moment_us
        if moment_us is None:
            moment_us = begun.moment_us if begun and begun.moment_us is not None else self._clock.now_us()
        return ScoringPlan(
            model=version.model,
            version=version.number,
            bundle=version.bundle,
            moment_us=moment_us,
            keep=tuple(options.keep),
            part_rows=options.part_rows,
            history=options.history,
            inputs=tuple(inputs),
            tables=tables,
            delimiter=options.delimiter,
        )

    @contextlib.contextmanager
    def _loaded(
        self, version: Version, *, history: bool
    ) -> Iterator[tuple[LoadedVersion, FeatureService, Callable[[], None]]]:
        """The version as a worker loads it, its features, and what keeps them: views that none needs are let go of."""
        from seakeep.features.rows import RequestDecoder
        from seakeep.features.service import FeatureService, enter_views
        from seakeep.records.release import Route
        from seakeep.serving.loaded import load

        bundle = self._stores.bundles.open(version.bundle)
        with (self._history if history else self._present)(bundle) as store:
            features = FeatureService(store, clock=self._clock)
            route = Route(
                model=version.model, version=version.number, bundle=version.bundle, role="champion", weight=1.0
            )
            loaded = load(
                route,
                bundles=self._stores.bundles,
                features=features,
                decoders=RequestDecoder,
                engines=self._home.engines,
            )
            yield loaded, features, functools.partial(enter_views, loaded.definition, store)

    @contextlib.contextmanager
    def _present(self, bundle: Bundle) -> Iterator[OnlineStore]:
        """The service's own store, with the views of the version filled."""
        from seakeep.backends.lmdb.online import LmdbOnlineStore

        if bundle.definition.views:
            self._online.fill([bundle])
        with contextlib.closing(LmdbOnlineStore(self._home.online)) as store:
            yield store

    @contextlib.contextmanager
    def _history(self, bundle: Bundle) -> Iterator[OnlineStore]:
        """A store for this job alone that lets nothing go.

        Raises
        ------
        DataError
            Not all of what was known is kept.
        """
        from seakeep.backends.lmdb.online import LmdbOnlineStore
        from seakeep.data.version import load
        from seakeep.features.materialise import materialise
        from seakeep.features.state import EVERYTHING
        from seakeep.project.online import dataset_of
        from seakeep.project.recompute import known
        from seakeep.project.scratch import scratch
        from seakeep.recorder.policy import Policies

        what = known(
            bundle.definition,
            load(dataset_of(bundle.run, self._stores), self._stores.datasets),
            self._home.events,
            as_of_us=bundle.run.as_of_us,
            reveal=Policies(self._stores.protector).reveal_events,
            silent=self._project.read,
        )
        if any(what.gap_us):
            message = "recorded events were let go of, so not all is known of the past"
            raise DataError(message, hint="score without history: the service's own features are whole")
        with (
            scratch(self._home.root) as folder,
            contextlib.closing(LmdbOnlineStore(folder / "online")) as store,
        ):
            materialise([bundle.definition], what.tables, store, as_of_us=_NEVER, newest_us=EVERYTHING)
            yield store


def _settled(plan: ScoringPlan, files: Sequence[Held], time: str) -> ScoringPlan:
    """The plan once it is known what the files hold: whose moment counts, and which columns are kept.

    Raises
    ------
    DataError
        The files differ in what matters, or a column cannot be kept.
    """
    import msgspec

    from seakeep.scoring.inputs import kept_type
    from seakeep.scoring.output import NAMES

    names = [one.name for one in plan.inputs]
    timed = [time in one.types for one in files]
    if len(set(timed)) > 1:
        one, other = names[timed.index(True)], names[timed.index(False)]
        raise DataError(f"{one} has a column {time!r}, and {other} has none", hint="score them apart")
    keep = tuple(files[0].types) if EVERY in plan.keep else plan.keep
    for column in keep:
        if column.lower() in NAMES:
            message = f"column {column!r} cannot be kept: the output has one of this name"
            raise DataError(message, hint="rename it in the input, or join by input_file and input_row")
        for name, file in zip(names, files, strict=True):
            if column not in file.types:
                raise DataError(f"{name} has no column {column!r} to keep", hint=did_you_mean(column, file.types))
            kinds = kept_type(file.types[column]), kept_type(files[0].types[column])
            if len(set(kinds)) > 1:
                message = f"column {column!r} is {kinds[1]} in {names[0]} and {kinds[0]} in {name}"
                raise DataError(message, hint="score them apart, or convert it")
    return msgspec.structs.replace(plan, keep=keep, moment_us=None if timed[0] else plan.moment_us)


def _refuse_own(to: Path, inputs: Sequence[InputFile]) -> None:
    inside = [one.name for one in inputs if Path(one.name).resolve().is_relative_to(to.resolve())]
    if inside:
        message = f"{inside[0]} is to be scored, and lies in {to}, where the scores go"
        raise DataError(message, hint="score into a folder beside the inputs")


def _read_table(folder: Path, version: int | None) -> tuple[int, list[TableFile]]:
    try:
        from seakeep.backends.delta.tables import table_files
    except ImportError as error:
        message = f"{folder} is a Delta table, and the package deltalake is not installed"
        raise PlatformError(message, hint="pip install 'seakeep[delta]'") from error
    return table_files(folder, version)
