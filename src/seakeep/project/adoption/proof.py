"""Holds a project against the notebook it comes from: row by row, what its model and the notebook's answer."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from seakeep.errors import AdoptionError
from seakeep.project.adoption.original import Original, Seen, plain
from seakeep.project.adoption.plan import Plan
from seakeep.project.adoption.values import Frame
from seakeep.project.adoption.write import REFERENCE, Answer
from seakeep.project.load import load_project
from seakeep.project.project import open_project
from seakeep.records.outputs import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from seakeep.features.frame import Frame as FeatureFrame

LEAST_ROWS = 1_000
"""Rows that are compared at least; fewer are asked again until they are as many."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How far a project's answers are from the notebook's.

    Attributes
    ----------
    rows, different_rows
        How many were compared, and how many of them are rows of their own.
    largest
        The largest difference, as a share of the answer where that is above 1.
    first
        The first row that differs by more than rounding, and both answers, in words; ``""``: there is none.
    """

    rows: int
    different_rows: int
    largest: float
    first: str = ""

    @property
    def equal(self) -> bool:
        """Whether no row differs by more than rounding."""
        return self.first == ""


def compare(
    reference: Mapping[int, Answer],
    answers: Mapping[int, Answer],
    *,
    tolerance: float = TOLERANCE,
    source: str = "the notebook",
) -> Difference:
    """Compare two models' answers by row; equal is what differs by no more than a share ``tolerance``.

    Parameters
    ----------
    source
        Whose answers the reference holds, in words.
    """
    rows = sorted(reference)
    theirs = np.array([reference[row] for row in rows])
    ours = np.array([answers.get(row, (np.nan,) * theirs.shape[1]) for row in rows])
    away = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
    away[np.isnan(ours) & np.isnan(theirs)] = 0.0
    beyond = np.argwhere(~(away <= tolerance))
    first = ""
    if len(beyond):
        at, place = beyond[0]
        first = f"row {rows[at]}: {theirs[at, place]} in {source}, {ours[at, place]} in the project"
    return Difference(
        rows=len(rows), different_rows=len(rows), largest=float(np.nanmax(away, initial=0.0)), first=first
    )


def reference_of(plan: Plan, original: Original) -> dict[int, Answer]:
    """What the notebook's model answers, by row of the table.

    Raises
    ------
    AdoptionError
        The notebook's own run gave its model other inputs than were read here: the first row and column that differ.
    """
    place = plan.fit.place
    fault = differing(plan.inputs[0], original.seen[0]) if original.seen else "nothing was kept of its run"
    if fault:
        raise AdoptionError(
            f"the notebook's own run gives its model other inputs than are read here: {fault}",
            cell=place.cell,
            line=place.line,
            hint="the column comes by a way that is not followed; compute it with plain pandas",
        )
    found: dict[int, Answer] = {}
    for frame in plan.inputs:
        for seen in original.seen:
            if not differing(frame, seen):
                found |= by_row(frame.rows, seen.scores)
    return {row: score for row, score in found.items() if row in set(plan.train.tolist()) | set(plan.judge.tolist())}


def differing(frame: Frame, seen: Seen) -> str:
    """The first row and column in which a table as it was read here differs from one of the notebook's run; ``""``: none."""
    if len(seen.columns) != frame.data.shape[1]:
        return f"{len(seen.columns)} columns, not {frame.data.shape[1]}"
    if len(seen.scores) != len(frame.data):
        return f"{len(seen.scores):,} rows, not {len(frame.data):,}"
    for place, name in enumerate(frame.data.columns):
        ours, theirs = plain(frame.data.iloc[:, place]), seen.columns[place]
        if ours.dtype.kind != theirs.dtype.kind:
            return f"column {name!r} is of another kind"
        same = (
            (ours == theirs) if ours.dtype.kind == "U" else np.isclose(ours, theirs, rtol=1e-12, atol=0, equal_nan=True)
        )
        if not same.all():
            at = int(np.argmin(same))
            return f"column {name!r} in row {frame.rows[at]}: {theirs[at]} in the run, {ours[at]} here"
    return ""


def against_reference(folder: Path) -> Difference:
    """Train a project's model in this process, and compare its answers with the stored ones of the notebook.

    Raises
    ------
    SeakeepError
        The project, its table or its training is at fault.
    """
    from seakeep.conversion.native import native_scorer
    from seakeep.training.split import default_validate_from, split

    frame = frame_of_project(folder)
    learn = split(frame, validate_from_us=default_validate_from(frame))[0]
    model = load_project(folder).model()
    scorer = native_scorer(model.train(learn), frame.columns, model.definition.label.outputs)
    return against_stored(folder, frame, scorer(frame.numbers(), frame.categories()))


def against_stored(
    folder: Path, frame: FeatureFrame, scores: NDArray[np.float64], *, source: str = "the notebook"
) -> Difference:
    """Compare answers for the rows of a project with those that it stores of what it comes from."""
    with (folder / REFERENCE).open(newline="", encoding="utf-8") as file:
        _, *lines = csv.reader(file)
    reference = {int(row): tuple(map(float, told)) for row, *told in lines}
    return compare(reference, by_row(frame.key.astype(np.int64), scores), source=source)


def by_row(rows: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[int, Answer]:
    """Answers ``(n,)`` or ``(n, k)`` by row."""
    return dict(zip(rows.tolist(), map(tuple, scores.reshape(len(rows), -1).tolist()), strict=True))


def served_answers(folder: Path, rows: list[int]) -> tuple[dict[int, Answer], float]:
    """Train and convert a project, and give the answers of the model that would be served, by row.

    Beside them the tolerance of the model's class: XGBoost, for one, adds its leaves up in single precision.

    Parameters
    ----------
    rows
        To be asked, in this order; a row may occur again.
    """
    from seakeep.conversion.session import ScoringSession

    project = open_project(folder)
    run = project.train(actor="adopt")
    version, proof = project.convert(run.id, actor="adopt")
    bundle = project.bundle(version)
    frame = frame_of_project(folder)
    at = {int(key): place for place, key in enumerate(frame.key)}
    asked = frame.select(np.array([at[row] for row in rows], dtype=np.int64))
    scores: NDArray[np.float64] = ScoringSession(bundle.model).score(asked.numbers(), asked.categories())
    return by_row(np.array(rows, dtype=np.int64), scores), max(TOLERANCE, proof.tolerance)


def frame_of_project(folder: Path) -> FeatureFrame:
    """All rows of a project's tables, with their outcomes as far as there are any."""
    from seakeep.clock import DAY_US
    from seakeep.data.schema import infer_schema
    from seakeep.features.join import training_frame
    from seakeep.features.resolve import resolve

    project = load_project(folder)
    tables = {name: project.read(name) for name in project.sources}
    definition = resolve(project.model().definition, {name: infer_schema(table) for name, table in tables.items()})
    last = int(tables[definition.request.name][definition.request.time].view(np.int64).max())
    return training_frame(definition, tables, as_of_us=last + definition.label.delay_us + DAY_US)
