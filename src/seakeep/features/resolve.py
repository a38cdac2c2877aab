"""Checks a declaration against the columns its sources have, and settles the model's inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from seakeep.clock import parse_duration
from seakeep.errors import ConfigError, LeakError, did_you_mean
from seakeep.features.fault import DefinitionFault
from seakeep.features.personal import personal_faults
from seakeep.features.plan import read_columns, view_columns, view_inputs
from seakeep.features.transform import ValueKind, check, value_kinds
from seakeep.records.expression import Expression, columns_of
from seakeep.records.feature import Aggregation, FeatureColumn, FeatureKind, FeatureView
from seakeep.records.model import ModelDefinition, Threshold
from seakeep.records.outputs import SERVED
from seakeep.records.source import ColumnSchema, Events
from seakeep.records.version import NAME

Schemas = Mapping[str, tuple[ColumnSchema, ...]]


def resolve(definition: ModelDefinition, schemas: Schemas) -> ModelDefinition:
    """The definition with the schemas it needs and the model's inputs filled in: those of the views, then the request's.

    Raises
    ------
    LeakError
        A value would be used before it could be known.
    ConfigError
        Anything else is wrong; the message holds every fault.
    """
    found = faults(definition, schemas)
    if found:
        error = LeakError if any(fault.leak for fault in found) else ConfigError
        raise error("\n".join(fault.message for fault in found), hint=found[0].hint)
    columns = inputs(definition, schemas)
    return msgspec.structs.replace(definition, schemas=_needed(definition, schemas), columns=columns)


def inputs(definition: ModelDefinition, schemas: Schemas) -> tuple[FeatureColumn, ...]:
    """The model's inputs in order: those of the views, then the request's. Their declarations must have no fault."""
    columns: list[FeatureColumn] = []
    for view in definition.views:
        columns += view_inputs(view, schemas[view.source.name])
    kinds = _kinds(schemas[definition.request.name])
    for name, node in definition.request_features.items():
        kind: FeatureKind = "category" if check(node, kinds)[0] == "string" else "number"
        columns.append(FeatureColumn(name=name, kind=kind))
    return tuple(columns)


def faults(definition: ModelDefinition, schemas: Schemas) -> tuple[DefinitionFault, ...]:
    """Everything that is wrong in a declaration, given the columns of its sources."""
    found = list(_source_faults(definition, schemas))
    for view in definition.views:
        found += [dataclasses.replace(fault, of_view=True) for fault in _view_faults(view, definition, schemas)]
    found += _request_faults(definition, schemas)
    found += _rule_faults(definition, schemas)
    found += _label_faults(definition, schemas)
    found += _name_faults(definition)
    found += personal_faults(definition, schemas)
    return tuple(found)


def _sources(definition: ModelDefinition) -> list[Events]:
    return [definition.request, *(view.source for view in definition.views), definition.label.source]


def _kinds(schema: Iterable[ColumnSchema]) -> dict[str, ValueKind]:
    return value_kinds({column.name: column.kind for column in schema})


def _source_faults(definition: ModelDefinition, schemas: Schemas) -> Iterator[DefinitionFault]:
    seen: dict[str, Events] = {}
    for source in _sources(definition):
        if source.name in seen:
            if source != seen[source.name]:
                yield DefinitionFault(source.name, f"source {source.name!r} is declared in two ways", "declare it once")
            continue
        seen[source.name] = source
        if source.name not in schemas:
            message = f"there is no data for source {source.name!r}"
            yield DefinitionFault(source.name, message, did_you_mean(source.name, schemas))
            continue
        columns = {column.name: column for column in schemas[source.name]}
        if source.time not in columns:
            message = f"source {source.name!r} has no time column {source.time!r}"
            yield DefinitionFault(source.name, message, did_you_mean(source.time, columns))
        elif columns[source.time].kind != "time":
            message = f"time column {source.time!r} of {source.name!r} is {columns[source.time].kind}, not a time"
            yield DefinitionFault(source.name, message, "convert it in the loader")
        yield from _identifier_faults(source.name, "key", source.key, source.name, columns)
        try:
            parse_duration(source.delay)
        except ValueError as error:
            yield _duration_fault(source.name, f"delay of source {source.name!r}", error)


def _identifier_faults(
    subject: str, role: str, column: str, source: str, columns: Mapping[str, ColumnSchema]
) -> Iterator[DefinitionFault]:
    if column and column not in columns:
        message = f"{subject}: {source!r} has no {role} column {column!r}"
        yield DefinitionFault(subject, message, did_you_mean(column, columns))
    elif column and columns[column].kind not in {"string", "int"}:
        message = f"{subject}: {role} column {column!r} of {source!r} is {columns[column].kind}, not string or int"
        yield DefinitionFault(subject, message, "an int column with missing values becomes float")


def _view_faults(view: FeatureView, definition: ModelDefinition, schemas: Schemas) -> Iterator[DefinitionFault]:
    if not NAME.fullmatch(view.name):
        yield DefinitionFault(view.name, f"{view.name!r} cannot name a view", "use a-z, 0-9, '.', '_' and '-'")
    if not view.features:
        yield DefinitionFault(view.name, f"view {view.name!r} has no features", "add one, as in mean('x', over=['7d'])")
    entity_kinds = set()
    for name in (view.source.name, definition.request.name):
        columns = {column.name: column for column in schemas.get(name, ())}
        if name in schemas:
            yield from _identifier_faults(view.name, "entity", view.entity, name, columns)
            entity_kinds.add(columns[view.entity].kind if view.entity in columns else "")
    if entity_kinds == {"string", "int"}:
        message = f"{view.name}: {view.entity!r} is a string in one source and an int in the other"
        yield DefinitionFault(view.name, message, "make them the same in a loader")
    for feature, spec in view.features.items():
        subject = f"{view.name}.{feature}"
        yield from _window_faults(subject, spec)
        if view.source.name in schemas:
            yield from _aggregation_faults(subject, spec, schemas[view.source.name])


def _window_faults(subject: str, spec: Aggregation) -> Iterator[DefinitionFault]:
    if not spec.windows:
        yield DefinitionFault(subject, f"{subject} has no window", "say over which, as in over=['24h', '7d']")
    for window in spec.windows:
        try:
            if parse_duration(window) == 0:
                yield DefinitionFault(subject, f"{subject}: a window of {window!r} holds nothing", "make it longer")
        except ValueError as error:
            yield _duration_fault(subject, subject, error)


def _duration_fault(subject: str, place: str, error: ValueError) -> DefinitionFault:
    what, _, hint = str(error).partition("; ")
    return DefinitionFault(subject, f"{place}: {what}", hint)


def _aggregation_faults(subject: str, spec: Aggregation, schema: Iterable[ColumnSchema]) -> Iterator[DefinitionFault]:
    kind, found = check(spec.value, _kinds(schema))
    for message, hint in found:
        yield DefinitionFault(subject, f"{subject}: {message}", hint)
    if kind == "time":
        yield DefinitionFault(subject, f"{subject} is a time", "take a part of it, as in .dt.hour()")
    elif kind == "string" and spec.function != "latest":
        message = f"{subject}: the {spec.function} of a string does not exist"
        yield DefinitionFault(subject, message, "compare it, as in col('carrier') == 'UA'")


def _request_faults(definition: ModelDefinition, schemas: Schemas) -> Iterator[DefinitionFault]:
    if definition.request.name not in schemas:
        return
    kinds = _kinds(schemas[definition.request.name])
    label = definition.label
    revealed = set(columns_of(label.value)) if label.source.name == definition.request.name else set()
    for name, node in definition.request_features.items():
        for column in columns_of(node):
            elsewhere = [one for one, schema in schemas.items() if any(column == c.name for c in schema)]
            if column in revealed:
                message = (
                    f"{name} reads {column!r}, which is the outcome: it is not known when the prediction is asked for"
                )
                yield DefinitionFault(name, message, "use what is known by then", leak=True)
            elif column not in kinds and elsewhere:
                message = (
                    f"{name} reads {column!r}, which {definition.request.name!r} does not have; it comes with "
                    f"{elsewhere[0]!r} and is known only then"
                )
                hint = f"aggregate it over past events in a FeatureView on {elsewhere[0]!r}"
                yield DefinitionFault(name, message, hint, leak=True)
        yield from _request_value_faults(name, node, kinds, schemas)


def _request_value_faults(
    name: str, node: Expression, kinds: Mapping[str, ValueKind], schemas: Schemas
) -> Iterator[DefinitionFault]:
    known_somewhere = {column.name for schema in schemas.values() for column in schema}
    if any(column not in kinds and column in known_somewhere for column in columns_of(node)):
        return  # already told, as a leak
    kind, found = check(node, kinds)
    for message, hint in found:
        yield DefinitionFault(name, f"{name}: {message}", hint)
    if kind == "time":
        yield DefinitionFault(name, f"{name} is a time", "take a part of it, as in .dt.hour()")


def _rule_faults(definition: ModelDefinition, schemas: Schemas) -> Iterator[DefinitionFault]:
    rule = definition.rule
    if rule is None or definition.request.name not in schemas:
        return
    kind, found = check(rule, _kinds(schemas[definition.request.name]))
    for message, hint in found:
        yield DefinitionFault("rule", f"rule: {message}", hint)
    if kind is not None and kind != "number":
        yield DefinitionFault("rule", f"the rule is a {kind}", "give a score, as in rule=0.1")


_WANTED = {
    "probability": ("number", "make it true or false, as in col('x') > 15"),
    "probabilities": ("string", "make it the column of the class's name, as in col('kind')"),
}
"""What the value of a label must be, by what a model answers, and what to do about it."""


def _label_faults(definition: ModelDefinition, schemas: Schemas) -> Iterator[DefinitionFault]:
    label, request = definition.label, definition.request
    for source in {source.name: source for source in (request, label.source)}.values():
        if not source.key:
            message = f"the label needs a key in source {source.name!r} to find the outcome of a prediction"
            yield DefinitionFault(source.name, message, "declare it, as in Events(..., key='id')")
    kinds = {
        column.kind
        for source in (request, label.source)
        for column in schemas.get(source.name, ())
        if column.name == source.key
    }
    if kinds == {"string", "int"}:
        message = f"the keys of {request.name!r} and {label.source.name!r} differ: one is a string, the other an int"
        yield DefinitionFault(label.source.name, message, "make them the same in a loader")
    try:
        parse_duration(label.delay)
    except ValueError as error:
        yield _duration_fault("label", "delay of the label", error)
    if label.source.name in schemas:
        kind, found = check(label.value, _kinds(schemas[label.source.name]))
        for message, hint in found:
            yield DefinitionFault("label", f"label: {message}", hint)
        wanted, hint = _WANTED.get(label.outputs.kind, ("number", "make it a number"))
        if kind is not None and kind != wanted:
            yield DefinitionFault("label", f"the label is a {kind}", hint)
    yield from _answer_faults(definition)


def _answer_faults(definition: ModelDefinition) -> Iterator[DefinitionFault]:
    outputs = definition.label.outputs
    if outputs.kind not in SERVED:
        hint = "leave answers out, or sk.number(), sk.classes(...)"
        yield DefinitionFault("label", f"no label is of kind {outputs.kind!r}", hint)
    if not outputs.yes_or_no and definition.decision != Threshold():
        by = "the highest probability" if outputs.of_classes else "nothing"
        what = "of classes" if outputs.of_classes else "that is a number"
        yield DefinitionFault("decision", f"a label {what} is decided by {by}", "leave decision out")
    if outputs.of_classes:
        yield from _class_faults(definition)


def _class_faults(definition: ModelDefinition) -> Iterator[DefinitionFault]:
    names = definition.label.outputs.names
    if len(names) < 3:
        yield DefinitionFault(
            "label", f"{len(names)} classes are no several", "of two classes make a yes or no, as in col('kind') == 'a'"
        )
    if len(set(names)) < len(names) or "" in names:
        yield DefinitionFault("label", "the names of classes must differ, and none be empty", "name each class once")
    if definition.rule is not None:
        yield DefinitionFault("rule", "a rule gives one number, and a model of classes one for each", "leave rule out")


def _name_faults(definition: ModelDefinition) -> Iterator[DefinitionFault]:
    names = [name for view in definition.views for name, _, _ in view_columns(view)]
    names += definition.request_features
    if not names:
        yield DefinitionFault(definition.name, f"model {definition.name!r} has no features", "add a FeatureView")
    views = [view.name for view in definition.views]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield DefinitionFault(name, f"two inputs are named {name!r}", "rename one")
    for name in sorted({name for name in views if views.count(name) > 1}):
        yield DefinitionFault(name, f"two views are named {name!r}", "rename one")


def _needed(definition: ModelDefinition, schemas: Schemas) -> dict[str, tuple[ColumnSchema, ...]]:
    needed: dict[str, set[str]] = {source.name: {source.time, source.key} for source in _sources(definition)}
    for view in definition.views:
        needed[view.source.name].update(read_columns(view))
        needed[definition.request.name].add(view.entity)
    for node in (*definition.request_features.values(), *([] if definition.rule is None else [definition.rule])):
        needed[definition.request.name].update(columns_of(node))
    needed[definition.label.source.name].update(columns_of(definition.label.value))
    return {
        name: tuple(column for column in schemas[name] if column.name in columns)
        for name, columns in sorted(needed.items())
    }
