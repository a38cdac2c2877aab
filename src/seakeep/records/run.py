"""Training runs: every input that decides the artefact, and what came out."""

from __future__ import annotations

import msgspec

from seakeep.records.model import ModelDefinition


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A number with the interval it lies in with 95 % confidence."""

    value: float
    low: float
    high: float


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A model file that was judged in place of a training.

    Attributes
    ----------
    name, sha256
        Of the file.
    format
        What its content is: a key of :data:`seakeep.conversion.formats.registry.FORMATS`.
    libraries
        Versions of the libraries that read it, by name.
    """

    name: str
    sha256: str
    format: str
    libraries: dict[str, str]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The software and the class of hardware a run used."""

    python: str
    platform: str
    cpu: str
    packages: dict[str, str]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One training run.

    Attributes
    ----------
    id
        ``r-`` and twelve hexadecimal digits.
    code
        SHA-256 of every file of the project's code, by relative path.
    dataset
        Id of the dataset version.
    definition
        The resolved model definition (schemas and columns filled in).
    definition_digest
        SHA-256 of its canonical JSON.
    validate_from_us
        Rows before this moment trained the model (labels known by then); rows from it on judged it.
    threshold
        Score from which the decision is "yes".
    metrics, baselines, slices
        Validation metrics by name; the same of each baseline by name; by slice column, value and name.
    paired
        ``log_loss`` difference to each baseline on the same rows (negative is better), by baseline.
    artefact
        SHA-256 of the fitted estimator.
    warnings
        What the owner should know, in words.
    trainer
        Name of the project's function that trained in place of the model's own; ``""``: the model's own did.
    threads
        Threads that numerical libraries used: their number decides the order of sums, and so the last bits.
    given
        The model file that was judged in place of a training; None: it was trained here.
    sealed
        Digest of the signed folder that holds the estimator and the validation rows; ``""`` before they are stored.
    """

    id: str
    model: str
    started_us: int
    seconds: float
    seed: int
    as_of_us: int
    validate_from_us: int
    dataset: str
    code: dict[str, str]
    definition: ModelDefinition
    definition_digest: str
    environment: Environment
    rows_trained: int
    rows_validated: int
    threshold: float
    metrics: dict[str, Metric]
    baselines: dict[str, dict[str, Metric]]
    paired: dict[str, Metric]
    slices: dict[str, dict[str, dict[str, Metric]]]
    artefact: str
    warnings: tuple[str, ...] = ()
    trainer: str = ""
    threads: int = 1
    sealed: str = ""
    given: Given | None = None
