"""``train``, ``rerun``, ``convert`` and ``register``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from seakeep.cli import options, output

if TYPE_CHECKING:
    from seakeep.records.run import Metric, Run
    from seakeep.records.version import ParityProof, Version


@click.command()
@click.argument("model", default="")
@click.option(
    "--as-of", type=options.Moment(), help="Learn only what could be known before this moment; by default now."
)
@click.option(
    "--validate-from", type=options.Moment(), help="First moment of the validation rows; by default the last fifth."
)
@click.option("--trainer", default="", help="A function of the project's file that trains in place of the model's own.")
@options.folder
@options.as_json
def train(model: str, as_of: int | None, validate_from: int | None, trainer: str, folder: Path, as_json: bool) -> None:
    """Train MODEL on everything known by a moment, and record the run."""
    project = options.open_project(folder)
    with output.step("data, features, training, evaluation"):
        run = project.train(
            model, as_of_us=as_of, validate_from_us=validate_from, trainer=trainer, actor=options.actor()
        )
    output.data(run, run_summary(run), as_json=as_json)
    output.done(f"run {run.id}", next_step=f"seakeep convert {run.id}")


@click.command()
@click.argument("run_id")
@options.folder
@options.as_json
def rerun(run_id: str, folder: Path, as_json: bool) -> None:
    """Train RUN_ID again and compare it byte for byte."""
    project = options.open_project(folder)
    with output.step("training again"):
        run = project.rerun(run_id)
    output.data({"run": run.id, "artefact": run.artefact, "equal": True}, run.artefact, as_json=as_json)
    output.done(f"{run.id} reproduced: the artefact is the same to the byte")


@click.command()
@click.argument("run_id", default="")
@click.option(
    "--native", is_flag=True, help="Keep the estimator as it is: its own framework answers, in its own process."
)
@options.folder
@options.as_json
def convert(run_id: str, native: bool, folder: Path, as_json: bool) -> None:
    """Convert RUN_ID (by default the newest run), prove it equal and register the version."""
    project = options.open_project(folder)
    before = {version.ref for model in project.models for version in project.stores.versions.list(model)}
    with output.step("conversion and proof"):
        version, proof = project.convert(run_id, actor=options.actor(), native=native)
    output.data({"version": version, "proof": proof}, proof_line(version, proof), as_json=as_json)
    if version.engine == "native":
        output.talk("native: its own framework answers, in one process for each worker")
    what = "was registered before, and is the same" if version.ref in before else "registered"
    output.done(f"{version.ref} {what}", next_step=f"seakeep gates {version.ref}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model", default="", help="Which declared model it is; by default the only one.")
@click.option("--as-of", type=options.Moment(), help="Judge by what could be known before this moment; by default now.")
@click.option(
    "--validate-from", type=options.Moment(), help="First moment of the validation rows; by default the last fifth."
)
@click.option("--gives", type=click.Choice(["logits", "probabilities", "values"]), help="What a network's output is.")
@click.option("--network", default="", help="Function or class of the project that weights are of, as MODULE:NAME.")
@click.option(
    "--trust-pickle", is_flag=True, help="Read a pickle, or a Lambda layer, in a cage: it runs what it likes."
)
@click.option("--without-cage", is_flag=True, help="Read it even where this system gives no full cage.")
@options.folder
@options.as_json
def register(
    file: Path,
    model: str,
    as_of: int | None,
    validate_from: int | None,
    gives: Literal["logits", "probabilities", "values"] | None,
    network: str,
    trust_pickle: bool,
    without_cage: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Take a model trained elsewhere from FILE as a version of MODEL: judged on this project's rows, proved, signed."""
    from seakeep.conversion.reading import Reading

    project = options.open_project(folder)
    with output.step("data, features, conversion, proof"):
        version, proof = project.files.register(
            file,
            model,
            as_of_us=as_of,
            validate_from_us=validate_from,
            reading=Reading(trust_pickle=trust_pickle, without_cage=without_cage, gives=gives or "", network=network),
            actor=options.actor(),
        )
    run = project.stores.runs.get(version.run)
    shown = f"{run_summary(run)}\n\n{proof_line(version, proof)}"
    output.data({"version": version, "proof": proof, "warnings": run.warnings}, shown, as_json=as_json)
    output.done(f"{version.ref} registered", next_step=f"seakeep gates {version.ref}")


def run_summary(run: Run) -> str:
    """A run's validation metrics beside its baselines'."""
    names = list(run.baselines)
    rows = [
        [name, interval(metric), *[interval(run.baselines[b].get(name)) for b in names]]
        for name, metric in run.metrics.items()
    ]
    made = f"from {run.given.name}" if run.given else f"{run.rows_trained:,} rows trained"
    head = f"{run.model} {run.id}: {made}, {run.rows_validated:,} validated, {run.seconds:.1f} s"
    lines = [head, "", output.table(["metric", "model (95 %)", *names], rows)]
    lines += [f"warning: {text}" for text in run.warnings]
    if run.origin:
        lines.append(f"made of {run.origin.version} ({run.origin.run}) by: {run.origin.recipe.told}")
    return "\n".join(lines)


def proof_line(version: Version, proof: ParityProof) -> str:
    """One sentence on a proof."""
    if version.engine == "native":
        rows = sum(count for kind, count in proof.cases.items() if kind != "refused")
        return f"{version.ref}: native; {rows:,} rows tried in a fresh process, every score equal, bit for bit"
    return (
        f"{version.ref}: {sum(proof.cases.values()):,} rows tried, largest difference {proof.max_difference:.1e}, "
        f"{proof.flips} decisions differ; {proof.mutants_caught} of {proof.mutants} models with a change in them found out"
    )


def interval(metric: Metric | None) -> str:
    """A metric with its interval: ``0.761 (0.744 to 0.779)``."""
    if metric is None:
        return "—"
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"
