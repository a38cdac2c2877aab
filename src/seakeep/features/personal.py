"""Which treatment of personal columns a model's declaration allows: what must be read again may not be made unreadable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seakeep.errors import did_you_mean
from seakeep.features.fault import DefinitionFault
from seakeep.features.plan import read_columns
from seakeep.records.expression import Column, columns_of
from seakeep.records.feature import FeatureView
from seakeep.records.model import ModelDefinition
from seakeep.records.source import ColumnSchema, Events

_READABLE = {"keep", "tokenise"}


def unreadable(source: Events) -> frozenset[str]:
    """Columns of a source that nobody can read again from what was recorded."""
    return frozenset(name for name, treatment in source.personal.items() if treatment not in _READABLE)


def verbatim(definition: ModelDefinition) -> dict[str, tuple[Events, str]]:
    """The model's inputs that are a column as it was sent, by name: the source and the column."""
    found: dict[str, tuple[Events, str]] = {}
    for view in definition.views:
        for feature, spec in view.features.items():
            if spec.function == "latest" and isinstance(spec.value, Column):
                found[f"{view.name}.{feature}"] = view.source, spec.value.name
    for name, node in definition.request_features.items():
        if isinstance(node, Column):
            found[name] = definition.request, node.name
    return found


def personal_faults(
    definition: ModelDefinition, schemas: Mapping[str, tuple[ColumnSchema, ...]]
) -> Iterator[DefinitionFault]:
    """Everything that is wrong in what the sources of a model say of personal columns."""
    label = definition.label
    events = {source.name: source for source in (label.source, *(view.source for view in definition.views))}
    for source in {definition.request.name: definition.request, **events}.values():
        if source.name in schemas:
            columns = {column.name: column for column in schemas[source.name]}
            yield from _column_faults(source, columns, read_again=source.name in events)
    yield from _key_faults(definition)
    for column in columns_of(label.value):
        if label.source.personal.get(column, "keep") != "keep":
            message = f"the label reads {column!r} of {label.source.name!r}, which is not kept"
            yield DefinitionFault("label", message, f"personal={{{column!r}: 'keep'}}")
    for view in definition.views:
        yield from _view_faults(view)
    for name, (source, column) in verbatim(definition).items():
        treatment = source.personal.get(column, "keep")
        text = any(one.name == column and one.kind == "string" for one in schemas.get(source.name, ()))
        if treatment not in (_READABLE if text else {"keep"}):
            message = f"{name} is the column {column!r} itself: with {treatment!r} no prediction can be executed again"
            yield DefinitionFault(name, message, "keep it, or tokenise a string, or derive the feature")


def _column_faults(
    source: Events, columns: Mapping[str, ColumnSchema], *, read_again: bool
) -> Iterator[DefinitionFault]:
    for name, treatment in source.personal.items():
        where = f"personal column {name!r} of {source.name!r}"
        if name not in columns:
            yield DefinitionFault(source.name, f"there is no {where}", did_you_mean(name, columns))
        elif treatment == "keep":
            continue
        elif name == source.time:
            yield DefinitionFault(source.name, f"{where} is its time and must be kept", "personal: 'keep'")
        elif name == source.key and treatment == "drop":
            yield DefinitionFault(source.name, f"{where} is its key and cannot be dropped", "hash or tokenise it")
        elif (read_again or name == source.key) and treatment != "drop" and columns[name].kind != "string":
            message = f"{where} is {columns[name].kind}: what would replace it is a string"
            yield DefinitionFault(source.name, message, "make it a string in the loader")


def _key_faults(definition: ModelDefinition) -> Iterator[DefinitionFault]:
    asked, told = definition.request, definition.label.source
    how = [source.personal.get(source.key, "keep") for source in (asked, told)]
    if how[0] != how[1]:
        message = (
            f"the key of {asked.name!r} is {how[0]!r}, that of {told.name!r} {how[1]!r}: no outcome would be found"
        )
        yield DefinitionFault(told.name, message, "treat both alike")


def _view_faults(view: FeatureView) -> Iterator[DefinitionFault]:
    for column in read_columns(view):
        treatment = view.source.personal.get(column, "keep")
        if treatment not in _READABLE:
            message = f"{view.name} reads {column!r} of {view.source.name!r}, and is rebuilt from what was recorded"
            yield DefinitionFault(view.name, message, f"keep or tokenise it; {treatment!r} makes it unreadable")
