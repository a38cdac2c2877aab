"""Adopts a model file: with a sample of its data it becomes a project, if the project answers as the file does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from seakeep.conversion.convert import Converted, convert_file
from seakeep.conversion.modelfile import ModelFile, read_model_file
from seakeep.conversion.native import frame_of
from seakeep.conversion.reading import Reading
from seakeep.conversion.rows import Rows
from seakeep.errors import AdoptionError, InputsError, did_you_mean
from seakeep.project import texts
from seakeep.project.adoption import proof, write, writefile
from seakeep.project.adoption.given import Given
from seakeep.project.check import check
from seakeep.records.feature import FeatureColumn, FeatureKind
from seakeep.records.outputs import SERVED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seakeep.features.frame import Frame

_PLAIN = Reading()
Step = Callable[[str], AbstractContextManager[None]]


class AdoptedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A project that was written of a model file.

    Attributes
    ----------
    source, model
        Where it comes from, and what it is, in words.
    register
        The command that registers the file in the project.
    rows, tried
        How many rows of the sample were compared, and how many the proof made up beside them.
    difference
        How far the answers of the model that would be served are from the file's own, in its framework.
    told
        What was left out or decided on the way, in words.
    """

    folder: str
    files: tuple[str, ...]
    source: str
    model: str
    register: str
    labelled: bool
    rows: int
    tried: int
    difference: proof.Difference
    told: tuple[str, ...]


def adopt_file(
    given: Given,
    into: Path,
    *,
    reading: Reading = _PLAIN,
    step: Step = lambda _: nullcontext(),
) -> AdoptedFile:
    """Write the project of a model file, if what would be served answers as the file does on every row of the sample.

    The file is read, asked and converted in the cage alone. Of a pickle the project keeps the ONNX that was made of it.

    Parameters
    ----------
    into
        The project's folder: new or empty.
    reading
        What is said of the file beside its bytes, as in :meth:`seakeep.project.given.ModelFiles.register`.

    Raises
    ------
    AdoptionError
        The sample does not fit the model, or its answers cannot be served; nothing is written then.
    ConversionError, ParityError
        The file cannot be taken, or what was made of it does not answer alike.
    """
    from seakeep.conversion.session import ScoringSession

    write.require_empty(into)
    file = read_model_file(given.path, reading)
    with step("read it in the cage, convert and compare"):
        frame, converted = _convert(file, given)
    session = ScoringSession(converted.model)
    if session.outputs.of_classes and len(session.outputs.names) < 3:
        raise AdoptionError(
            f"{file.name} tells {' and '.join(session.outputs.names)} apart, and of two classes those served are 0 and 1",
            hint="fit it on 0 and 1, and give such a label",
        )
    if session.outputs.kind not in SERVED:
        raise AdoptionError(
            f"{file.name} answers with {session.outputs.word}, and {', '.join(SERVED)} are served",
            hint="give a regressor, or a classifier of 0 and 1 with predict_proba",
        )
    scores = session.score(frame.numbers(), frame.categories())
    project = writefile.FileProject(
        name=texts.project_name(into.resolve().name), given=given, frame=frame, outputs=session.outputs,
        content=converted.model if file.format.runs_code else file.content,
        form="onnx" if file.format.runs_code else file.format.name,
        gives="" if file.format.runs_code else reading.gives,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="seakeep-adopt-") as folder:
        made = Path(folder)
        files = project.write(made, scores)
        faults = check(made)
        if faults:
            raise AdoptionError(f"the project would have a fault: {faults[0].message}", hint=faults[0].hint)
        rows = proof.frame_of_project(made)
        answers = session.score(rows.numbers(), rows.categories())
        found = proof.against_stored(made, rows, answers, source="the file")
        if not found.equal:
            raise AdoptionError(
                f"the project's model does not answer as the file's: {found.first}",
                hint="its features do not give the columns as the sample has them: please report it",
            )
        written = write.deliver(files, made, into)
    cases = converted.proof.cases
    return AdoptedFile(
        folder=str(into),
        files=written,
        source=given.source,
        model=f"{file.format.told}, which answers with a {session.outputs.word}",
        register=project.register,
        labelled=bool(given.label),
        rows=len(rows),
        tried=sum(count for kind, count in cases.items() if kind not in {"validation", "refused"}),
        difference=msgspec.structs.replace(found, largest=max(found.largest, converted.proof.max_difference)),
        told=(*_told(given, frame, scores), *project.told, *filter(None, [file.format.caveat]), *converted.notes),
    )


def against_reference(folder: Path, name: str, reading: Reading = _PLAIN) -> proof.Difference:
    """Convert a project's model file in the cage, and compare its answers on the project's rows with the stored ones.

    Parameters
    ----------
    name, reading
        The file's, and what is said of it.

    Raises
    ------
    SeakeepError
        The project, its table or the file is at fault.
    """
    from seakeep.conversion.session import ScoringSession
    from seakeep.project.load import load_project

    rows = proof.frame_of_project(folder)
    outputs = load_project(folder).model().definition.label.outputs
    converted = convert_file(read_model_file(folder / name, reading), rows, outputs=outputs)
    scores = ScoringSession(converted.model).score(rows.numbers(), rows.categories())
    return proof.against_stored(folder, rows, scores, source="the file")


def _convert(file: ModelFile, given: Given) -> tuple[Frame, Converted]:
    """The sample as the model's inputs, and the model; in the file's order, which only the cage can tell."""
    if given.label and given.label not in given.data:
        raise AdoptionError(f"the sample has no column {given.label!r}", hint=did_you_mean(given.label, given.data))
    usable = [name for name, values in given.data.items() if name != given.label and values.dtype.kind != "M"]
    frame = _frame(given, list(given.columns) or usable)
    try:
        return frame, convert_file(file, frame, outputs=None)
    except InputsError as error:
        known = {name.replace(" ", "_"): name for name in given.data} | {name: name for name in given.data}
        names = [known.get(name, name) for name in error.names]
        if not names or names == [column.name for column in frame.columns]:
            raise AdoptionError(
                error.message,
                hint="the file names no inputs: leave in the sample what it was fitted on, in its order, and name the outcome by --label",
            ) from error
    frame = _frame(given, names)
    return frame, convert_file(file, frame, outputs=None)


def _frame(given: Given, names: Sequence[str]) -> Frame:
    table = given.data
    lacking = [name for name in names if name not in table]
    if lacking:
        raise AdoptionError(
            f"the sample has no column {', '.join(map(repr, lacking))}, which the model was fitted on",
            hint=did_you_mean(lacking[0], table) or "give a sample with the columns it was fitted on",
        )
    if not names or not len(table[names[0]]):
        raise AdoptionError("the sample is empty", hint="give rows such as the model is asked")
    columns = [FeatureColumn(name=name, kind=_kind(given, name)) for name in names]
    count = len(table[names[0]])
    number = [table[one.name].astype(np.float64) for one in columns if one.kind == "number"]
    category = [table[one.name] for one in columns if one.kind == "category"]
    numbers = np.column_stack(number) if number else np.empty((count, 0))
    categories = np.column_stack(category) if category else np.empty((count, 0), dtype=object)
    return frame_of(Rows(numbers, categories), columns)


def _kind(given: Given, name: str) -> FeatureKind:
    """What a column is; AdoptionError where the sample holds something else than is said, or times."""
    form = given.data[name].dtype.kind
    kind: FeatureKind = "category" if form == "O" else "number"
    said = given.columns.get(name, kind)
    if form == "M" or name == given.label:
        what = "holds times" if form == "M" else "is the label"
        raise AdoptionError(
            f"column {name!r} of the sample {what}, and is an input of the model", hint="save it as it was fitted"
        )
    if said != kind:
        words = {"category": "text", "number": "numbers"}
        raise AdoptionError(
            f"column {name!r} holds {words[kind]} in the sample, and {words[said]} by the model's signature",
            hint="save the sample as .parquet, which keeps the types of its columns",
        )
    return kind


def _told(given: Given, frame: Frame, scores: NDArray[np.float64]) -> list[str]:
    taken = {column.name for column in frame.columns} | {given.label}
    out = [name for name in given.data if name not in taken]
    told = [f"left out, for the model does not take them: {', '.join(out)}"] if out else []
    for column in frame.columns:
        gaps = int((given.data[column.name] == "").sum()) if column.kind == "category" else 0
        if gaps:
            told.append(
                f"{column.name} is missing in {gaps:,} rows, and a missing text is asked as '': is it what the model learnt?"
            )
    refused = int(np.isnan(scores.reshape(len(scores), -1)).any(axis=1).sum())
    if refused:
        told.append(f"the model answers nothing for {refused:,} rows of the sample, and so does the project")
    if len(frame) < proof.LEAST_ROWS:
        told.append(f"the sample has {len(frame):,} rows, fewer than {proof.LEAST_ROWS:,}: all of them were compared")
    return told
