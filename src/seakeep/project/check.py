"""Checks a whole project before anything runs, and tells every fault at once, each with its line."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seakeep.clock import DAY_US, parse_duration
from seakeep.config import ProjectSettings, Settings, load_settings
from seakeep.data.schema import check_table, infer_schema
from seakeep.data.table import as_table
from seakeep.errors import ConfigError, DataError, Fault, ProjectFaults, did_you_mean
from seakeep.features.fault import DefinitionFault
from seakeep.features.resolve import faults as definition_faults
from seakeep.features.resolve import inputs
from seakeep.project.load import DeclarationFault, LoadedProject, collect, import_declarations
from seakeep.project.source import SourceLines
from seakeep.records.gate import Gate, LatencyGate, MetricGate, SliceGate
from seakeep.records.model import AlertBudget, Canary, Model, ModelDefinition, TopShare
from seakeep.records.outputs import Outputs
from seakeep.records.source import ColumnSchema, Events
from seakeep.records.version import NAME
from seakeep.training.evaluate import METRICS_OF
from seakeep.training.usercode import describe, user_line

if TYPE_CHECKING:
    from seakeep.data.table import Table

SAMPLE_ROWS = 20_000
"""Rows read of a table that is a file."""

Schemas = dict[str, tuple[ColumnSchema, ...]]


def check(folder: Path) -> tuple[Fault, ...]:
    """Everything that is wrong in a project: settings, declarations, tables, leaks; empty if nothing is.

    Tables that are files are read in part; those from a function are read whole, because only the function knows how.
    """
    folder = folder.resolve()
    found: list[Fault] = []
    settings = _settings(folder, found)
    file = folder / settings.project.module
    try:
        module = import_declarations(file, folder)
    except ConfigError as error:
        return (*found, _import_fault(error, file, folder))
    project, declared = collect(module, settings, folder)
    declared += _all_faults(project)
    lines = SourceLines(file.read_text("utf-8"))
    for one in declared:
        line = lines.line(*one.where, message=one.message)
        found.append(Fault(file=str(file), line=line, message=one.message, hint=one.hint))
    return tuple(sorted(dict.fromkeys(found), key=lambda fault: (fault.file, fault.line)))


def _settings(folder: Path, found: list[Fault]) -> Settings:
    try:
        return load_settings(folder)
    except ProjectFaults as error:
        found += error.faults
    except ConfigError as error:
        found.append(Fault(file=str(folder), line=1, message=error.message, hint=error.hint))
    # Go on with the defaults: what project.py declares can be checked without them.
    return Settings(project=ProjectSettings(name=folder.name))


def _import_fault(error: ConfigError, file: Path, folder: Path) -> Fault:
    cause = error.__cause__
    place = user_line(cause, folder) if cause else None
    if cause is None or place is None:
        return Fault(file=str(file), line=1, message=error.message, hint=error.hint)
    message = f"cannot be imported: {describe(cause, None)}"
    return Fault(file=str(place[0]), line=place[1], message=message, hint=error.hint)


def _all_faults(project: LoadedProject) -> list[DeclarationFault]:
    found: list[DeclarationFault] = []
    if not project.models:
        found.append(DeclarationFault((), "no model is declared", "declare one: late = sk.Model(...)"))
    schemas: Schemas = {}
    broken: set[str] = set()
    for name, events in project.sources.items():
        faults = list(_type_faults(events, Events, name)) or list(_source_faults(project, events, schemas))
        if faults:
            broken.add(name)
        found += faults
    for model in project.models.values():
        faults = list(_model_type_faults(model))
        # The rules below would stumble over a value of the wrong type.
        found += faults or [
            *_model_faults(model),
            *_definition_faults(model, schemas, broken),
            *_retention_faults(model, project.settings.recorder.keep_days),
        ]
    return found


def _model_type_faults(model: Model) -> Iterator[DeclarationFault]:
    yield from _type_faults(model.definition, ModelDefinition, model.name)
    yield from _type_faults(model.gates, tuple[Gate, ...], model.name, "gates")
    yield from _type_faults(model.rollout, Canary, model.name, "rollout")
    yield from _type_faults(model.alerts, AlertBudget, model.name, "alerts")


def _type_faults(value: Any, kind: Any, *where: str) -> Iterator[DeclarationFault]:
    try:
        msgspec.convert(msgspec.to_builtins(value), kind)
    except (msgspec.ValidationError, TypeError) as error:
        path = str(error).rpartition("$.")[2].strip("`").replace("[...]", "").split(".")
        yield DeclarationFault((*where, *path), f"{where[0]!r}: {error}", "give a value of this type")


def _bad_name(kind: str, name: str) -> DeclarationFault:
    return DeclarationFault((name,), f"{name!r} cannot name a {kind}", "use a-z, 0-9, '.', '_' and '-'")


# Tables


def _source_faults(project: LoadedProject, events: Events, schemas: Schemas) -> Iterator[DeclarationFault]:
    if not NAME.fullmatch(events.name):
        yield _bad_name("source", events.name)
    if events.name not in project.tables:
        yield DeclarationFault(
            ("tables",),
            f"source {events.name!r} has no table",
            "add it to tables = {...}: a function that returns it, or the path of a .csv or .parquet file",
        )
        return
    try:
        table = _sample(project, events.name)
        schemas[events.name] = infer_schema(table)
        check_table(table, events)
    except DataError as error:
        yield DeclarationFault((events.name,) if events.name in schemas else ("tables",), error.message, error.hint)
        return
    requested = any(model.definition.request == events for model in project.models.values())
    if requested and events.key:
        keys = table[events.key].tolist()
        doubles = len(keys) - len(set(keys))
        if doubles:
            message = f"source {events.name!r}: {doubles:,} of {len(keys):,} rows repeat a key of column {events.key!r}"
            yield DeclarationFault((events.name, "key"), message, "a key must identify one asking row")


def _sample(project: LoadedProject, source: str) -> Table:
    path = project.tables[source]
    if not isinstance(path, Path) or not path.is_file():
        return project.read(source)
    reader = {".csv": "read_csv", ".parquet": "read_parquet"}.get(path.suffix.lower())
    if reader is None:
        return project.read(source)
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        try:
            rows = connection.sql(f"select * from {reader}($path) limit {SAMPLE_ROWS}", params={"path": str(path)})  # noqa: S608 -- the name of one of two functions
            return as_table(rows)
        except duckdb.Error as error:
            raise DataError(f"cannot read {path}: {error}", hint="check that the file is whole") from error


# Models


def _definition_faults(model: Model, schemas: Schemas, broken: set[str]) -> Iterator[DeclarationFault]:
    definition = model.definition
    found = definition_faults(definition, schemas)
    for fault in found:
        if fault.of_view or fault.subject not in broken:
            yield DeclarationFault(_where(fault, model.name), fault.message, fault.hint)
    yield from _slice_faults(model, schemas, [fault.subject for fault in found])


def _where(fault: DefinitionFault, model: str) -> tuple[str, ...]:
    """The words that lead to what has the fault."""
    first, *rest = fault.subject.split(".")
    if fault.of_view:
        return (f"FeatureView:{first}", *rest)
    return (fault.subject, model, "label") if first == "label" else (fault.subject, first, *rest)


def _slice_faults(model: Model, schemas: Schemas, faulty: list[str]) -> Iterator[DeclarationFault]:
    """Slices over no category of the inputs; what has a fault of its own may be one."""
    definition = model.definition
    known = schemas.keys() - set(faulty)
    if definition.request.name not in known:
        return
    sound = msgspec.structs.replace(
        definition,
        views=tuple(
            view
            for view in definition.views
            if view.source.name in known and not any(f"{one}.".startswith(f"{view.name}.") for one in faulty)
        ),
        request_features={name: node for name, node in definition.request_features.items() if name not in faulty},
    )
    categories = [one.name for one in inputs(sound, schemas) if one.kind == "category"]
    for gate in model.gates:
        if isinstance(gate, SliceGate) and gate.column not in {*categories, *faulty}:
            yield DeclarationFault(
                (model.name, "gates", gate.column),
                f"gate slices: {gate.column!r} is not a category among the model's inputs",
                did_you_mean(gate.column, categories),
            )


def _model_faults(model: Model) -> Iterator[DeclarationFault]:
    if not NAME.fullmatch(model.name):
        yield _bad_name("model", model.name)
    if not _takes_one(model.train):
        yield DeclarationFault((model.name, "train"), "train does not take one frame", "write def train(frame): ...")
    decision = model.definition.decision
    if isinstance(decision, TopShare) and not 0 < decision.share < 1:
        message = f"TopShare({decision.share}) is not a share"
        yield DeclarationFault((model.name, "decision"), message, "give a number between 0 and 1")
    yield from _canary_faults(model.name, model.rollout)
    if model.alerts.per_week < 0:
        yield DeclarationFault((model.name, "alerts"), "AlertBudget: per_week is negative", "0 means never")
    for gate in model.gates:
        for message, word, hint in _gate_faults(gate, model.definition.label.outputs):
            yield DeclarationFault((model.name, "gates", word), message, hint)


def _retention_faults(model: Model, keep_days: int) -> Iterator[DeclarationFault]:
    """Features are rebuilt, and outcomes found, from records that are still there."""
    definition = model.definition
    try:
        spans = {"the label": parse_duration(definition.label.delay)}
        for view in definition.views:
            windows = [parse_duration(window) for spec in view.features.values() for window in spec.windows]
            spans[f"view {view.name!r}"] = max(windows, default=0) + view.source.delay_us
    except ValueError:
        return  # a fault of its own
    what, span_us = max(spans.items(), key=lambda one: one[1])
    if keep_days and keep_days * DAY_US < span_us:
        message = f"recorder.keep_days = {keep_days} is too short for {what} of {model.name!r}"
        yield DeclarationFault((model.name,), message, f"keep records for {-(-span_us // DAY_US)} days at least")


def _canary_faults(model: str, canary: Canary) -> Iterator[DeclarationFault]:
    stages = list(canary.stages)
    where = (model, "rollout")
    if not stages or stages[-1] != 1:
        yield DeclarationFault(
            where, f"Canary({stages}) does not end with all of the traffic", "let the last stage be 1"
        )
    if any(not 0 < stage <= 1 for stage in stages) or any(b <= a for a, b in itertools.pairwise(stages)):
        yield DeclarationFault(
            where, f"Canary({stages}) is not a list of growing shares", "as in [0.01, 0.1, 0.5, 1.0]"
        )
    if canary.min_pairs < 1:
        yield DeclarationFault(where, "Canary: min_pairs must be at least 1", "200 is a good start")


def _gate_faults(gate: object, outputs: Outputs) -> Iterator[tuple[str, str, str]]:
    metrics = METRICS_OF.get(outputs.kind, ())
    if isinstance(gate, MetricGate | SliceGate) and gate.metric not in metrics:
        yield f"gate: there is no metric {gate.metric!r}", gate.metric, did_you_mean(gate.metric, metrics)
    elif isinstance(gate, SliceGate) and outputs.kind == "value" and gate.at_most is None:
        yield "gate slices: it sets a floor, and errors of numbers have none", gate.column, "say at_most=..."
    if isinstance(gate, MetricGate) and gate.at_least is None and gate.at_most is None:
        yield f"gate {gate.metric!r} has no limit", gate.metric, "say at_least=... or at_most=..."
    if isinstance(gate, LatencyGate) and gate.p99_ms <= 0:
        yield f"gate latency: p99_ms={gate.p99_ms} cannot be met", "p99_ms", "give milliseconds above 0"


def _takes_one(train: Callable[..., Any]) -> bool:
    try:
        inspect.signature(train).bind(None)
    except (TypeError, ValueError):
        return False
    return True
