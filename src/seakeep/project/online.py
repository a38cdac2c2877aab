"""The online features of a project: filled from history once, kept true by the recorded events."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from seakeep.backends.lmdb.online import LmdbOnlineStore
from seakeep.config import Home
from seakeep.data.version import load
from seakeep.errors import NotFoundError
from seakeep.features.materialise import Materialised, catch_up, materialise, missing_views
from seakeep.project.stores import Stores
from seakeep.recorder.policy import Policies
from seakeep.recorder.reader import scan
from seakeep.recorder.segment import Damage
from seakeep.records.dataset import DatasetVersion
from seakeep.records.prediction import EventBatch
from seakeep.records.run import Run
from seakeep.registry.bundle import Bundle

_log = logging.getLogger("seakeep.project")


class OnlineViews:
    """Fills and repairs the online store; safe to use while a service runs on it."""

    def __init__(self, home: Home, stores: Stores) -> None:
        self._home, self._stores = home, stores

    def fill(self, bundles: Sequence[Bundle]) -> list[Materialised]:
        """Fill the views of versions that were not filled yet, then apply every recorded event they have missed."""
        store = LmdbOnlineStore(self._home.online)
        try:
            filled: list[Materialised] = []
            for bundle in bundles:
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
        finally:
            store.close()
        return filled


def dataset_of(run: Run, stores: Stores) -> DatasetVersion:
    """The dataset version that a run learnt from; NotFoundError if it is gone."""
    version = stores.datasets.get_manifest(run.dataset)
    if version is None:
        raise NotFoundError(f"dataset version {run.dataset[:12]} of {run.id} is gone", hint="train and convert again")
    return version
