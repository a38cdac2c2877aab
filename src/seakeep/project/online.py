"""The online features of a project: filled from history once, kept true by the recorded events, let go of when unneeded."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.config import Home
from seakeep.data.version import load
from seakeep.errors import NotFoundError
from seakeep.features.materialise import Materialised, catch_up, materialise, missing_views
from seakeep.features.retire import retire_views, sweep
from seakeep.features.service import enter_views
from seakeep.project.stores import Stores
from seakeep.recorder.policy import Policies
from seakeep.recorder.reader import scan
from seakeep.recorder.segment import Damage
from seakeep.records.dataset import DatasetVersion
from seakeep.records.model import Model, ModelDefinition
from seakeep.records.prediction import EventBatch
from seakeep.records.run import Run
from seakeep.registry.bundle import Bundle
from seakeep.registry.promotion import champions

PAUSE_S = 0.01
"""Between two steps of letting go, in seconds: events that arrive come first."""

_log = logging.getLogger("seakeep.project")


class OnlineViews:
    """Fills and repairs the online store; safe to use while a service runs on it."""

    def __init__(self, home: Home, stores: Stores) -> None:
        self._home, self._stores = home, stores
        self._definitions: dict[str, ModelDefinition] = {}

    def fill(self, bundles: Sequence[Bundle]) -> list[Materialised]:
        """Fill the views of versions that were not filled yet, then apply every recorded event they have missed.

        From then on they are kept for long enough to release a version (:data:`seakeep.features.retire.UNNEEDED_US`).
        """
        with contextlib.closing(LmdbOnlineStore(self._home.online)) as store:
            filled: list[Materialised] = []
            for bundle in bundles:
                enter_views(bundle.definition, store)
                if missing_views(bundle.definition, store):
                    tables = load(dataset_of(bundle.run, self._stores), self._stores.datasets)
                    filled += materialise([bundle.definition], tables, store, as_of_us=bundle.run.as_of_us)
            damage: list[Damage] = []
            recorded = scan(self._home.events, damage=damage)
            reveal = Policies(self._stores.protector).reveal
            catch_up(store, (reveal(record) for record in recorded if isinstance(record, EventBatch)))
            for place in damage:
                where = (place.length, place.offset, place.file)
                _log.warning("%d bytes at offset %d of %s cannot be read: the features go without those events", *where)
        return filled

    def fill_again(self, bundle: Bundle) -> None:
        """Fill the views of a version that was served before, if they were let go of since; else at no cost."""
        with contextlib.closing(LmdbOnlineStore(self._home.online)) as store:
            enter_views(bundle.definition, store)
            gone = missing_views(bundle.definition, store)
        if gone:
            self.fill([bundle])

    def retire(self, models: Mapping[str, Model], now_us: int) -> int:
        """Let go of views that nobody needs any more, a little at a time; how many.

        Needed are those of every version in force, of the champion before, of each model's newest version, and those
        that are declared.

        Parameters
        ----------
        models
            As declared now, by name.

        Raises
        ------
        SeakeepError
            A version that needs its views cannot be read; every view is kept.
        """
        declared = [view for model in models.values() for view in model.definition.views]
        needed = sorted(self._needed(models))
        keep = [self._definition(bundle) for bundle in needed]
        self._definitions = dict(zip(needed, keep, strict=True))
        with contextlib.closing(LmdbOnlineStore(self._home.online)) as store:
            gone = retire_views(keep, store, declared=declared, now_us=now_us)
            while sweep(store):
                time.sleep(PAUSE_S)
        return gone

    def _needed(self, models: Mapping[str, Model]) -> set[str]:
        """Digests of the bundles that are in force, or may be soon."""
        routes = self._stores.releases.routes()
        needed = {route.bundle for route in routes}
        for model in {route.model for route in routes} | set(models):
            needed |= {route.bundle for route in champions(self._stores.releases.history(model))[-2:]}
            needed |= {version.bundle for version in self._stores.versions.list(model)[:1]}
        return needed

    def _definition(self, bundle: str) -> ModelDefinition:
        if bundle not in self._definitions:
            self._definitions[bundle] = self._stores.bundles.open(bundle).definition
        return self._definitions[bundle]


def dataset_of(run: Run, stores: Stores) -> DatasetVersion:
    """The dataset version that a run learnt from; NotFoundError if it is gone."""
    version = stores.datasets.get_manifest(run.dataset)
    if version is None:
        raise NotFoundError(f"dataset version {run.dataset[:12]} of {run.id} is gone", hint="train and convert again")
    return version
