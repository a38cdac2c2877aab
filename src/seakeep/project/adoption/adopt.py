"""Adopts a notebook: reads it, runs it, writes the project, and proves that both answer the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from seakeep.errors import AdoptionError
from seakeep.project import texts
from seakeep.project.adoption import proof, write
from seakeep.project.adoption.interpret import Interpreter
from seakeep.project.adoption.notebook import Notebook, read_notebook
from seakeep.project.adoption.original import run_original
from seakeep.project.adoption.plan import Plan, plan_of
from seakeep.project.check import check

Step = Callable[[str], AbstractContextManager[None]]


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """A project that was written.

    Attributes
    ----------
    model
        The estimator, by the full name of its class, and where the notebook fits it.
    rows_trained, rows_judged
        How many rows it learns from and is judged by.
    difference
        How far the served model's answers are from the notebook's.
    told
        What was left out, changed or decided on the way, in words.
    """

    folder: str
    files: tuple[str, ...]
    model: str
    fitted: str
    rows_trained: int
    rows_judged: int
    difference: proof.Difference
    told: tuple[str, ...]


def read(path: Path, *, model: str = "") -> tuple[Notebook, Interpreter, Plan]:
    """Read a notebook without running it.

    Raises
    ------
    AdoptionError
        It cannot be adopted: with the cell, the line and the reason.
    """
    notebook = read_notebook(path)
    reader = Interpreter(notebook)
    return notebook, reader, plan_of(reader, model)


def adopt(
    path: Path, into: Path, *, model: str = "", timeout_s: int = 600, step: Step = lambda _: nullcontext()
) -> Adopted:
    """Write the project of a notebook, if its model answers as the notebook's own does.

    Parameters
    ----------
    into
        The project's folder: new or empty.
    model
        Name of the model's variable, where the notebook fits several; by default the last.
    timeout_s
        Seconds that the notebook may take.
    step
        Told of each step as it begins; leaves when it is done.

    Raises
    ------
    AdoptionError
        It cannot be adopted, or both do not answer the same; nothing is written then.
    ConfigError
        The notebook cannot be read, or the folder is not empty.
    """
    write.require_empty(into)
    with step("read the notebook"):
        notebook, reader, plan = read(path, model=model)
    with tempfile.TemporaryDirectory(prefix="seakeep-adopt-") as folder:
        work = Path(folder)
        ran, made = work / "ran", work / "project"
        ran.mkdir()
        with step("run it as it is"):
            original = run_original(notebook, plan, [one.name for one in reader.sources], into=ran, timeout_s=timeout_s)
        reference = proof.reference_of(plan, original)
        made.mkdir()
        files = write.write(
            plan, texts.project_name(into.resolve().name), made, notebook=path.name, reference=reference
        )
        with step("train, convert and compare"):
            difference = _prove(made, plan, reference)
        written = write.deliver(files, made, into)
    return Adopted(
        folder=str(into),
        files=written,
        model=plan.fit.made.path,
        fitted=str(plan.fit.place),
        rows_trained=len(plan.train),
        rows_judged=len(plan.judge),
        difference=difference,
        told=(*notebook.told, *plan.told, *original.told),
    )


def _prove(folder: Path, plan: Plan, reference: dict[int, write.Answer]) -> proof.Difference:
    faults = check(folder)
    if faults:
        raise AdoptionError(f"the project would have a fault: {faults[0].message}", hint=faults[0].hint)
    rows = list(reference)
    asked = rows * -(-proof.LEAST_ROWS // len(rows))
    answers, tolerance = proof.served_answers(folder, asked)
    found = proof.compare(reference, answers, tolerance=tolerance)
    found = msgspec.structs.replace(found, rows=max(len(rows), proof.LEAST_ROWS))
    if not found.equal:
        place, made = plan.fit.place, plan.fit.made
        seeded = made.built.get_params().get("random_state", 0)
        raise AdoptionError(
            f"the project's model does not answer as the notebook's: {found.first}",
            cell=place.cell,
            line=place.line,
            hint="the estimator has no random_state, so each run gives another: add one"
            if seeded is None
            else "what the notebook does before this line is not followed in full; write the project by hand",
        )
    return found
