"""A model's records kept in memory as columns, up to date with a recorder that is being written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seakeep.clock import MICROSECONDS, Clock
from seakeep.features.rows import cells_to_table
from seakeep.recorder import query
from seakeep.recorder.query import Query
from seakeep.recorder.reader import Tail
from seakeep.recorder.segment import Damage
from seakeep.recorder.table import OutcomeTable, PredictionTable
from seakeep.records.model import Label
from seakeep.records.outputs import Outputs
from seakeep.records.prediction import EventBatch, Prediction
from seakeep.records.source import ColumnSchema

_OVERLAP_US = 60 * MICROSECONDS
"""Longest time between making a record and writing it that is reckoned with."""


class Followed:
    """Predictions of a model by version, and the outcomes of its label.

    What is there is loaded once; each :meth:`refresh` then reads only what came since.

    Parameters
    ----------
    schema
        Columns of the label's source.
    predictions, events
        Where both are recorded.

    Attributes
    ----------
    by_version
        All roles, in the order of ``time_us``.
    outcomes
        The first that came of each key.
    damage
        Places that cannot be read.
    """

    def __init__(
        self, model: str, label: Label, schema: Sequence[ColumnSchema], *, predictions: Path, events: Path, clock: Clock
    ) -> None:
        self._model, self._label, self._schema = model, label, schema
        self._clock = clock
        self.damage: list[Damage] = []
        since_us = clock.now_us() - _OVERLAP_US
        self._predictions, self._events = Tail(predictions, since_us=since_us), Tail(events, since_us=since_us)
        self.by_version: dict[int, PredictionTable] = query.load_by_version(
            predictions, Query(model=model), damage=self.damage
        )
        self.outcomes: OutcomeTable = query.outcomes(events, label, schema, damage=self.damage)
        self._told: set[str] = set(self.outcomes.key.tolist())
        self._recent: dict[str, int] = {}
        for table in self.by_version.values():
            fresh = table.recorded_us >= since_us
            self._recent.update(zip(table.id[fresh].tolist(), table.recorded_us[fresh].tolist(), strict=True))

    @property
    def outputs(self) -> Outputs:
        """What the model answers."""
        return self._label.outputs

    def refresh(self) -> bool:
        """Take in what was recorded since the last time; whether there was anything."""
        came = self._take_predictions()
        return self._take_outcomes() or came

    def close(self) -> None:
        """Let go of the recorder's files."""
        self._predictions.close()
        self._events.close()

    def _take_predictions(self) -> bool:
        fresh: dict[str, Prediction] = {}
        for record in self._predictions.poll():
            if isinstance(record, Prediction) and record.model == self._model and record.id not in self._recent:
                fresh[record.id] = record
        oldest_us = self._clock.now_us() - _OVERLAP_US
        self._recent = {id_: moment for id_, moment in self._recent.items() if moment >= oldest_us}
        self._recent.update((id_, one.recorded_us) for id_, one in fresh.items())
        for version, table in query.tables_of(list(fresh.values())).items():
            known = self.by_version.get(version)
            self.by_version[version] = known.merge(table) if known else table
        return bool(fresh)

    def _take_outcomes(self) -> bool:
        source = self._label.source
        tables = [
            cells_to_table(record.columns, self._schema, source)
            for record in self._events.poll()
            if isinstance(record, EventBatch) and record.source == source.name
        ]
        if not tables:
            return False
        came = query.outcomes_of(tables, self._label)
        fresh = np.array([key not in self._told for key in came.key.tolist()], dtype=np.bool_)
        self._told.update(came.key.tolist())
        self.outcomes = self.outcomes.merge(came.select(fresh))
        return bool(fresh.any())
