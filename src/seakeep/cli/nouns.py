"""The nouns, to look and to administer: ``run``, ``model``, ``data``, ``audit`` and ``key``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seakeep.cli import options, output
from seakeep.cli.build import interval, run_summary
from seakeep.clock import format_moment
from seakeep.errors import NotFoundError, did_you_mean

if TYPE_CHECKING:
    from seakeep.data.version import DatasetStore, SourceDiff
    from seakeep.records.dataset import DatasetVersion
    from seakeep.records.run import Run
    from seakeep.security.keys import KeyRole


@click.group()
def run() -> None:
    """Training runs."""


@run.command("list")
@options.folder
@options.as_json
def run_list(folder: Path, as_json: bool) -> None:
    """All runs, newest first."""
    runs = options.open_project(folder).stores.runs.list()
    rows = [[r.id, r.model, format_moment(r.started_us), _headline(r), r.dataset[:12]] for r in runs]
    output.data(runs, output.table(["run", "model", "started", "roc_auc", "dataset"], rows), as_json=as_json)


def _headline(one: Run) -> str:
    """The metric by which a run is known."""
    if one.definition.label.outputs.kind == "value":
        return f"rmse {interval(one.metrics.get('rmse'))}"
    return interval(one.metrics.get("roc_auc"))


@run.command("show")
@click.argument("run_id")
@options.folder
@options.as_json
def run_show(run_id: str, folder: Path, as_json: bool) -> None:
    """One run: metrics, baselines and warnings."""
    found = options.open_project(folder).stores.runs.get(run_id)
    output.data(found, run_summary(found), as_json=as_json)


@click.group()
def model() -> None:
    """Versions of models."""


@model.command("list")
@click.argument("name", default="")
@options.folder
@options.as_json
def model_list(name: str, folder: Path, as_json: bool) -> None:
    """All versions of the project's models, or of one."""
    project = options.open_project(folder)
    if name and name not in project.models:
        raise NotFoundError(f"no model {name!r} is declared", hint=did_you_mean(name, project.models))
    names = [name] if name else project.models
    versions = [version for one in names for version in project.stores.versions.list(one)]
    rows = [[v.ref, v.run, format_moment(v.created_us), v.author, v.bundle[:12]] for v in versions]
    output.data(versions, output.table(["version", "run", "created", "author", "bundle"], rows), as_json=as_json)


@model.command("show")
@click.argument("reference")
@options.folder
@options.as_json
def model_show(reference: str, folder: Path, as_json: bool) -> None:
    """One version: its gates, its proof and its inputs."""
    from seakeep.cli.release import gate_table

    project = options.open_project(folder)
    version = project.resolve(reference)
    bundle = project.bundle(version)
    results = project.stores.gates.get(version.model, version.number)
    outputs = bundle.definition.label.outputs
    decided = f"threshold {version.threshold:.6f}" if outputs.yes_or_no else f"answers with a {outputs.word}"
    text = "\n".join(
        [
            f"{version.ref} from {version.run}, bundle {version.bundle}",
            f"{len(bundle.definition.columns)} inputs, {decided}",
            f"proof: {sum(bundle.proof.cases.values()):,} rows, largest difference {bundle.proof.max_difference:.1e}",
            "",
            gate_table(results) if results else "no gates evaluated yet",
        ]
    )
    output.data({"version": version, "proof": bundle.proof, "gates": results}, text, as_json=as_json)


@click.group()
def data() -> None:
    """Dataset versions."""


@data.command("list")
@options.folder
@options.as_json
def data_list(folder: Path, as_json: bool) -> None:
    """All dataset versions."""
    datasets = options.open_project(folder).stores.datasets
    versions = [found for one in datasets.manifests() if (found := datasets.get_manifest(one))]
    versions.sort(key=lambda version: version.as_of_us, reverse=True)
    rows = [
        [v.id[:12], format_moment(v.as_of_us), ", ".join(f"{s.name} {s.rows:,}" for s in v.sources)] for v in versions
    ]
    output.data(versions, output.table(["dataset", "as of", "rows"], rows), as_json=as_json)


@data.command("diff")
@click.argument("before")
@click.argument("after")
@options.folder
@options.as_json
def data_diff(before: str, after: str, folder: Path, as_json: bool) -> None:
    """What differs between two dataset versions: rows and columns of each source."""
    from seakeep.data.version import diff

    datasets = options.open_project(folder).stores.datasets
    found = diff(_dataset(datasets, before), _dataset(datasets, after))
    changed = [source for source in found if not source.same]
    output.data(found, "\n".join(_source_line(source) for source in changed) or "no difference", as_json=as_json)


def _dataset(datasets: DatasetStore, start: str) -> DatasetVersion:
    """The version whose id begins with ``start``."""
    ids = [one for one in datasets.manifests() if one.startswith(start)]
    version = datasets.get_manifest(ids[0]) if len(ids) == 1 else None
    if version is None:
        what = "no dataset version begins" if not ids else f"{len(ids)} dataset versions begin"
        raise NotFoundError(f"{what} with {start!r}", hint="see `seakeep data list`")
    return version


def _source_line(source: SourceDiff) -> str:
    """One line: ``flights: 120,000 rows -> 140,000; months changed: 2013-06; columns added: gate``."""
    parts = [f"{source.name}: {source.rows_before:,} rows -> {source.rows_after:,}"]
    for what in ("months_changed", "columns_added", "columns_removed", "columns_changed"):
        names = getattr(source, what)
        if names:
            parts.append(f"{what.replace('_', ' ')}: {', '.join(names)}")
    return "; ".join(parts)


@click.group()
def audit() -> None:
    """The chain of changes."""


@audit.command("list")
@options.folder
@options.as_json
def audit_list(folder: Path, as_json: bool) -> None:
    """Every change, oldest first."""
    entries = options.open_project(folder).stores.audit.list()
    rows = [[str(e.number), format_moment(e.time_us), e.actor, e.action, e.subject, e.digest[:12]] for e in entries]
    output.data(entries, output.table(["#", "time", "actor", "action", "subject", "digest"], rows), as_json=as_json)


@audit.command("verify")
@options.folder
def audit_verify(folder: Path) -> None:
    """Check that no entry was changed, removed or inserted."""
    count = options.open_project(folder).verify_audit()
    output.done(f"{count} entries, the chain verifies")


@click.group()
def key() -> None:
    """API keys; while none was ever made the server answers on loopback only, and there without one."""


@key.command("create")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "client", "operator"]),
    default="client",
    show_default=True,
    help="Of the HTTP API alone: read metrics; predict and send events; or both.",
)
@options.folder
def key_create(name: str, role: KeyRole, folder: Path) -> None:
    """Make a key for NAME; it is shown once and never stored."""
    keys = options.open_project(folder).stores.keys
    first = not keys.list()
    secret = keys.create(name, role, actor=options.actor())
    click.echo(secret)
    if first:
        output.talk("from now on every request needs a key, also on this machine, even after this one is revoked")
    output.done(f"key for {name} ({role}); send it as 'Authorization: Bearer …'", undo=f"seakeep key revoke {name}")


@key.command("list")
@options.folder
@options.as_json
def key_list(folder: Path, as_json: bool) -> None:
    """All keys, without their secrets."""
    keys = options.open_project(folder).stores.keys.list()
    rows = [[k.name, k.role, format_moment(k.created_us), "revoked" if k.revoked else "active"] for k in keys]
    output.data(keys, output.table(["name", "role", "created", "state"], rows), as_json=as_json)


@key.command("revoke")
@click.argument("name")
@options.folder
def key_revoke(name: str, folder: Path) -> None:
    """Refuse NAME's key from now on."""
    options.open_project(folder).stores.keys.revoke(name, actor=options.actor())
    output.done(f"the key of {name} is refused from now on")
