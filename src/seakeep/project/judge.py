"""Judges a model that was trained elsewhere, by the answers of what it was converted to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from seakeep.conversion.convert import Converted, convert_file
from seakeep.conversion.modelfile import ModelFile
from seakeep.conversion.packed import CodeFile
from seakeep.errors import ConversionError
from seakeep.features.frame import Frame
from seakeep.records.model import Model
from seakeep.records.run import Given
from seakeep.records.version import ParityProof
from seakeep.training.fit import Fitted, judge, sides_of
from seakeep.training.split import default_validate_from

MODEL, PROOF = "model.onnx", "parity.json"


def judge_file(
    model: Model,
    frame: Frame,
    file: ModelFile,
    *,
    into: Path,
    validate_from_us: int,
    seed: int,
    code: Mapping[str, CodeFile] | None = None,
) -> tuple[Fitted, Given]:
    """Convert a model file with its proof, which are kept in a folder, and judge it on the rows that validate.

    Parameters
    ----------
    code
        The project's own modules, by name, one of which may hold the network of weights.

    Raises
    ------
    ConversionError
        The file cannot be taken, or its model answers no number, or no probability, for some row.
    ParityError
        The converted model does not answer as the file's.
    """
    validate_from_us = validate_from_us or default_validate_from(frame)
    learn, validate = sides_of(model, frame, validate_from_us)
    outputs = model.definition.label.outputs
    converted = convert_file(file, validate, decision=model.definition.decision, outputs=outputs, code=code)
    scores = _scores(converted, validate)
    wrong = ~np.isfinite(scores) if not outputs.yes_or_no else ~((scores >= 0) & (scores <= 1))
    if wrong.any():
        wanted = "between 0 and 1" if outputs.yes_or_no else "finite"
        raise ConversionError(
            f"{file.name} gives answers that are not {wanted} for {int(wrong.sum()):,} of {len(validate):,} validation rows",
            hint="give a model that accepts every row of the frame, missing values included",
        )
    (into / MODEL).write_bytes(converted.model)
    (into / PROOF).write_bytes(msgspec.json.encode(converted.proof))
    fitted = judge(
        model.definition, (learn, validate), scores, file.content, validate_from_us=validate_from_us, seed=seed
    )
    warnings = (*_told_of(file), *converted.notes, *fitted.warnings)
    given = Given(name=file.name, sha256=file.sha256, format=file.format.name, libraries=converted.proof.versions)
    return dataclasses.replace(fitted, rows_trained=0, warnings=warnings), given


def kept(folder: Path) -> Converted:
    """The converted model and its proof that :func:`judge_file` left in a folder."""
    proof = msgspec.json.decode((folder / PROOF).read_bytes(), type=ParityProof)
    return Converted(model=(folder / MODEL).read_bytes(), proof=proof)


def _scores(converted: Converted, rows: Frame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    from seakeep.conversion.session import ScoringSession  # the engine: only where it is asked

    return ScoringSession(converted.model).score(rows.numbers(), rows.categories())


def _told_of(file: ModelFile) -> list[str]:
    """What is not known of a model that was trained elsewhere, in words."""
    told = f"{file.name} was trained elsewhere ({file.format.told}): it may have seen the rows that judge it here"
    return [told, *filter(None, [file.format.caveat])]
