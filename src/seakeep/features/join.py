"""The point-in-time join: features as they could be known at each moment, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seakeep.errors import DataError
from seakeep.features.frame import Frame
from seakeep.features.outcome import declared
from seakeep.features.plan import entity_names, evaluate_events, plan_view
from seakeep.features.transform import evaluate
from seakeep.features.windows import aggregate
from seakeep.records.model import Label, ModelDefinition

if TYPE_CHECKING:
    from numpy.typing import NDArray

Columns = Mapping[str, "NDArray[Any]"]


def training_frame(definition: ModelDefinition, tables: Mapping[str, Columns], *, as_of_us: int) -> Frame:
    """Every asking row before ``as_of_us`` with its features as of its own time, and the outcome known by then.

    No row is lost or doubled: one without an outcome has a NaN label. Of several outcomes of one key the first known
    counts.

    Parameters
    ----------
    definition
        Resolved.
    tables
        Normal-form tables by source name.

    Raises
    ------
    DataError
        A source is missing, two asking rows have the same key, or an outcome is of no declared class.
    """
    request = definition.request
    asking = _table(tables, request.name)
    times = asking[request.time].view(np.int64)
    rows = np.flatnonzero(times < as_of_us)
    rows = rows[np.argsort(times[rows], kind="stable")]
    asking = {column.name: asking[column.name][rows] for column in definition.schemas[request.name]}
    times = times[rows]
    keys = entity_names(asking[request.key])
    _refuse_duplicates(keys, request.name)
    values = features_at(definition, asking, times, tables)
    label, known = _outcomes(definition.label, _table(tables, definition.label.source.name), keys, as_of_us)
    return Frame(columns=definition.columns, values=values, key=keys, time_us=times, label=label, label_known_us=known)


def features_at(
    definition: ModelDefinition, asking: Columns, times_us: NDArray[np.int64], tables: Mapping[str, Columns]
) -> dict[str, NDArray[Any]]:
    """The model's inputs for asking rows at the given moments, recomputed from the whole history.

    Parameters
    ----------
    asking
        The request's columns, ``n`` rows in any order.
    times_us
        int64 ``(n,)``.

    Returns
    -------
    dict
        By column name in the model's order, shape ``(n,)``.
    """
    found: dict[str, NDArray[Any]] = {}
    for view in definition.views:
        plan = plan_view(view, definition.schemas[view.source.name])
        entities, events = evaluate_events(plan, _table(tables, view.source.name))
        found.update(aggregate(plan, entities, events, entity_names(asking[view.entity]), times_us))
    for name, node in definition.request_features.items():
        found[name] = evaluate(node, asking)
    return {column.name: found[column.name] for column in definition.columns}


def outcomes(label: Label, table: Columns) -> tuple[NDArray[np.object_], NDArray[np.float64], NDArray[np.int64]]:
    """Key, value and moment of every outcome in a table, one for each key: the first known.

    Returns
    -------
    tuple
        Keys (object of ``str``), values (float64, not missing; of classes their codes), when each could first be known (int64); in the order
        of the last.

    Raises
    ------
    DataError
        An outcome is of no declared class.
    """
    values = declared(label, table)
    known = table[label.source.time].view(np.int64) + label.source.delay_us
    told = np.flatnonzero(~np.isnan(values))
    order = told[np.lexsort((values[told], known[told]))]
    keys = entity_names(table[label.source.key])[order].tolist()
    first: dict[str, int] = {}
    for position, key in enumerate(keys):
        first.setdefault(key, position)
    chosen = order[list(first.values())]
    return np.array(list(first), dtype=object), values[chosen], known[chosen]


def _outcomes(
    label: Label, table: Columns, keys: NDArray[np.object_], as_of_us: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    told, values, known = outcomes(label, table)
    by_key = {
        key: (value, moment)
        for key, value, moment in zip(told.tolist(), values.tolist(), known.tolist(), strict=True)
        if moment < as_of_us
    }
    found = [by_key.get(key, (np.nan, 0)) for key in keys.tolist()]
    return (
        np.array([value for value, _ in found], dtype=np.float64),
        np.array([moment for _, moment in found], dtype=np.int64),
    )


def _table(tables: Mapping[str, Columns], name: str) -> Columns:
    if name not in tables:
        raise DataError(f"there is no table for source {name!r}", hint=f"the tables given: {', '.join(sorted(tables))}")
    return tables[name]


def _refuse_duplicates(keys: NDArray[np.object_], source: str) -> None:
    rows = keys.tolist()
    if len(set(rows)) == len(rows):
        return
    doubled = [key for key, count in Counter(rows).items() if count > 1]
    raise DataError(
        f"source {source!r} has {len(doubled):,} keys in more than one row, for example {doubled[0]!r}",
        hint="a key must identify one asking row; remove the doubles in the loader",
    )
