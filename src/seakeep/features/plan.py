"""What a feature view asks of its events: which values to keep, over which windows, and where each input is read."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from seakeep.clock import DAY_US, parse_duration
from seakeep.features.transform import Compiled, check, compiled, value_kinds
from seakeep.records.expression import Node, columns_of
from seakeep.records.feature import AggregateName, FeatureColumn, FeatureKind, FeatureView
from seakeep.records.source import ColumnSchema, Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRACE_US = DAY_US
"""How long after the newest event a window can still be asked for a moment in the past."""

_LAYOUT = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One input of the model that a view gives.

    Attributes
    ----------
    value
        Position among the plan's ``sums``, ``numbers`` or ``strings``; -1 for a count of events.
    window
        Position among the plan's ``windows_us``.
    """

    column: str
    kind: FeatureKind
    function: AggregateName
    value: int
    window: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """A feature view, compiled.

    Attributes
    ----------
    digest
        Of everything that decides the kept values (not of the view's name): views that keep the same share them.
    windows_us
        Distinct window lengths, ascending.
    sums, numbers, strings
        The distinct values kept of each event: those that are added up, and the numbers and strings of which the
        latest is read.
    outputs
        By column name.
    """

    digest: bytes
    source: Events
    entity: str
    windows_us: tuple[int, ...]
    sums: tuple[Compiled, ...]
    numbers: tuple[Compiled, ...]
    strings: tuple[Compiled, ...]
    outputs: dict[str, Output]

    @property
    def keep_us(self) -> int:
        """For how long before the newest one events are kept."""
        return self.windows_us[-1] + self.source.delay_us + GRACE_US


@dataclasses.dataclass(slots=True)
class EventValues:
    """What a view keeps of ``n`` events: when each became known and the values, each of shape ``(n,)``."""

    known_us: NDArray[np.int64]
    sums: list[NDArray[np.float64]]
    numbers: list[NDArray[np.float64]]
    strings: list[NDArray[np.object_]]

    def select(self, rows: NDArray[Any] | slice) -> EventValues:
        """The events chosen by a boolean mask, by positions or by a slice."""
        return EventValues(
            self.known_us[rows],
            [values[rows] for values in self.sums],
            [values[rows] for values in self.numbers],
            [values[rows] for values in self.strings],
        )


def view_columns(view: FeatureView) -> list[tuple[str, str, str]]:
    """Names of a view's inputs, each with its feature and its window, in the order of declaration."""
    return [
        (f"{view.name}.{feature}" + ("" if spec.function == "latest" else f"_{window}"), feature, window)
        for feature, spec in view.features.items()
        for window in spec.windows
    ]


def view_inputs(view: FeatureView, schema: tuple[ColumnSchema, ...]) -> list[FeatureColumn]:
    """The model's inputs that a view gives, in the order of declaration."""
    outputs = plan_view(view, schema).outputs
    return [FeatureColumn(name=name, kind=outputs[name].kind, view=view.name) for name, _, _ in view_columns(view)]


def read_columns(view: FeatureView) -> tuple[str, ...]:
    """Columns of its source that a view reads, each once."""
    names = [view.source.time, view.entity]
    for spec in view.features.values():
        names += columns_of(spec.value)
    return tuple(dict.fromkeys(names))


def plan_view(view: FeatureView, schema: tuple[ColumnSchema, ...]) -> ViewPlan:
    """Compile a view that has no fault (see :mod:`seakeep.features.resolve`)."""
    kinds = value_kinds({column.name: column.kind for column in schema})
    windows = sorted({parse_duration(window) for spec in view.features.values() for window in spec.windows})
    kept: dict[str, dict[bytes, Node]] = {"sums": {}, "numbers": {}, "strings": {}}
    places: dict[str, tuple[str, int]] = {}
    # In the order of names: the layout must not depend on how a stored definition orders its keys.
    for feature, spec in sorted(view.features.items()):
        if spec.function == "count":
            places[feature] = ("", -1)
            continue
        role = "sums"
        if spec.function == "latest":
            role = "strings" if check(spec.value, kinds)[0] == "string" else "numbers"
        text = msgspec.json.encode(spec.value)
        kept[role].setdefault(text, spec.value)
        places[feature] = (role, list(kept[role]).index(text))
    outputs = {
        name: Output(
            column=name,
            kind="category" if places[feature][0] == "strings" else "number",
            function=view.features[feature].function,
            value=places[feature][1],
            window=windows.index(parse_duration(window)),
        )
        for name, feature, window in view_columns(view)
    }
    sums, numbers, strings = (tuple(compiled(node) for node in nodes.values()) for nodes in kept.values())
    return ViewPlan(
        digest=view_digest(view, {column.name: column.kind for column in schema}),
        source=view.source,
        entity=view.entity,
        windows_us=tuple(windows),
        sums=sums,
        numbers=numbers,
        strings=strings,
        outputs=outputs,
    )


def evaluate_events(plan: ViewPlan, table: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.object_], EventValues]:
    """What a view keeps of the events in a table, and whose they are; events without an entity are left out."""
    entities = entity_names(table[plan.entity])
    values = EventValues(
        table[plan.source.time].view(np.int64) + plan.source.delay_us,
        [value(table) for value in plan.sums],
        [value(table) for value in plan.numbers],
        [value(table) for value in plan.strings],
    )
    named = np.asarray(entities != "", dtype=np.bool_)
    return (entities, values) if named.all() else (entities[named], values.select(named))


def entity_names(values: NDArray[Any]) -> NDArray[np.object_]:
    """Entities and keys as ``str``: a whole number as its digits."""
    if values.dtype.kind == "O":
        return values
    return np.array([str(value) for value in values.tolist()], dtype=object)


def view_digest(view: FeatureView, kinds: Mapping[str, str]) -> bytes:
    """The digest of a view's plan, by the kinds of the columns that it reads."""
    source = [view.source.name, view.source.time, view.source.delay]
    read = {name: kinds[name] for name in read_columns(view)}
    text = msgspec.json.encode([_LAYOUT, source, view.entity, view.features, read], order="deterministic")
    return hashlib.blake2b(text, digest_size=16).digest()
