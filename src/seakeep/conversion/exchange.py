"""What the converter process and its parent say to each other: files in one folder, none of which can carry code
except the estimator, whose digest is checked before it is read.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from seakeep.conversion.enginesettings import EngineSettings
from seakeep.conversion.packed import CodeFile
from seakeep.conversion.reading import Reading
from seakeep.conversion.rows import Rows
from seakeep.errors import ConversionError
from seakeep.records.feature import FeatureColumn
from seakeep.records.model import Decision
from seakeep.records.outputs import PROBABILITY, Outputs

ESTIMATOR = "estimator"
FRAME = "frame.npz"
REQUEST = "request.json"
MODEL = "model.onnx"
NOTES = "notes.json"
PROOF = "parity.json"
ERROR = "error.json"
SCRATCH = "scratch"
RUN = "run"
"""The format of an estimator that a run of this project made."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to convert.

    Attributes
    ----------
    columns
        The model's inputs, in order.
    threshold
        The deployed threshold.
    artefact_sha256
        SHA-256 the estimator's file must have.
    cpu_s
        Seconds of processor time the converter may use.
    outputs
        What the model must answer.
    any_outputs
        Take whatever it answers in place of ``outputs``.
    native
        Keep the estimator as it is, packed to be served natively.
    code
        The project's own modules, by name, that a native estimator, or a network that comes as its weights, may be built from.
    engine
        How the engine is to execute it.
    format
        What the estimator's file is: :data:`RUN`, or a key of :data:`seakeep.conversion.formats.registry.FORMATS`.
    decision
        What the threshold follows from on the validation rows, in place of ``threshold``.
    reading
        How the estimator's file is to be read.
    """

    columns: tuple[FeatureColumn, ...]
    threshold: float
    artefact_sha256: str
    cpu_s: int
    outputs: Outputs = PROBABILITY
    any_outputs: bool = False
    native: bool = False
    code: dict[str, CodeFile] = {}
    engine: EngineSettings = EngineSettings()
    format: str = RUN
    decision: Decision | None = None
    reading: Reading = Reading()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a conversion failed; where the inputs differ, with those of the file."""

    message: str
    hint: str = ""
    inputs: tuple[str, ...] | None = None


def write_rows(path: Path, rows: Rows) -> None:
    """Write rows as plain arrays: text as fixed-width unicode, so that nothing needs pickle.

    Raises
    ------
    ConversionError
        A category ends in a NUL character, which this form cannot hold.
    """
    text = rows.categories.astype(np.str_)
    if not np.array_equal(text.astype(object), rows.categories):
        raise ConversionError(
            "a category of the validation rows is not a string or ends in a NUL character",
            hint="clean the column in the feature's definition",
        )
    np.savez(path, numbers=rows.numbers, categories=text)


def read_rows(path: Path) -> Rows:
    """Read what :func:`write_rows` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Rows(arrays["numbers"], arrays["categories"].astype(object))
