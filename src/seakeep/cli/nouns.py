"""The nouns, to look and to administer: ``run``, ``model``, ``data``, ``audit`` and ``key``."""

from __future__ import annotations

from pathlib import Path

import click

from seakeep.cli import options, output
from seakeep.cli.build import interval, run_summary
from seakeep.clock import format_moment


@click.group()
def run() -> None:
    """Training runs."""


@run.command("list")
@options.folder
@options.as_json
def run_list(folder: Path, as_json: bool) -> None:
    """All runs, newest first."""
    runs = options.open_project(folder).runs.list()
    rows = [
        [r.id, r.model, format_moment(r.started_us), interval(r.metrics.get("roc_auc")), r.dataset[:12]] for r in runs
    ]
    output.data(runs, output.table(["run", "model", "started", "roc_auc", "dataset"], rows), as_json=as_json)


@run.command("show")
@click.argument("run_id")
@options.folder
@options.as_json
def run_show(run_id: str, folder: Path, as_json: bool) -> None:
    """One run: metrics, baselines and warnings."""
    found = options.open_project(folder).runs.get(run_id)
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
    names = [name] if name else list(project.models)
    versions = [version for one in names for version in project.versions.list(one)]
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
    results = project.gate_results(version)
    text = "\n".join(
        [
            f"{version.ref} from {version.run}, bundle {version.bundle}",
            f"{len(bundle.definition.columns)} inputs, threshold {version.threshold:.6f}",
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
    versions = options.open_project(folder).datasets.list()
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

    project = options.open_project(folder)
    lines = diff(project.datasets.get(before), project.datasets.get(after))
    output.data(lines, "\n".join(lines) or "no difference", as_json=as_json)


@click.group()
def audit() -> None:
    """The chain of changes."""


@audit.command("list")
@options.folder
@options.as_json
def audit_list(folder: Path, as_json: bool) -> None:
    """Every change, oldest first."""
    entries = options.open_project(folder).audit.list()
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
    """API keys; without one the server answers on loopback only."""


@key.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "client", "operator"]), default="client")
@options.folder
def key_create(name: str, role: str, folder: Path) -> None:
    """Make a key for NAME; it is shown once and never stored."""
    secret = options.open_project(folder).keys.create(name, role, actor=options.actor())
    click.echo(secret)
    output.done(f"key for {name} ({role}); send it as 'Authorization: Bearer …'", undo=f"seakeep key revoke {name}")


@key.command("list")
@options.folder
@options.as_json
def key_list(folder: Path, as_json: bool) -> None:
    """All keys, without their secrets."""
    keys = options.open_project(folder).keys.list()
    rows = [[k.name, k.role, format_moment(k.created_us), "revoked" if k.revoked else "active"] for k in keys]
    output.data(keys, output.table(["name", "role", "created", "state"], rows), as_json=as_json)


@key.command("revoke")
@click.argument("name")
@options.folder
def key_revoke(name: str, folder: Path) -> None:
    """Refuse NAME's key from now on."""
    options.open_project(folder).keys.revoke(name, actor=options.actor())
    output.done(f"the key of {name} is refused from now on")
