"""Every fault Seakeep can report, as one tree.

::

    SeakeepError
    ├── ConfigError            the project file or its declarations are wrong
    │   ├── ProjectFaults      all faults of a project at once
    │   └── AdoptionError      a notebook cannot be made a project, with the cell and line
    ├── DataError              a table, an event or a row is not what was declared
    │   ├── RowError           one row of a request or an event batch
    │   └── LeakError          a value would be used before it could be known
    ├── TrainingError          the user's train function failed or gave nothing usable
    │   └── RerunMismatch      a rerun differed, with the inputs that differed
    ├── ConversionError        the estimator cannot be emitted exactly
    │   ├── InputsError        a model file was fitted on other inputs than the model has
    │   └── ParityError        the served model is not the trained model
    ├── RegistryError          a version, a reference or a release is not possible
    │   ├── NotFoundError      no such model, version, run or prediction
    │   ├── GateError          a gate failed or has no evidence
    │   ├── ConflictError      somebody else changed the release first
    │   └── IntegrityError     a bundle, a signature or the audit chain does not verify
    ├── ServingError           a request cannot be answered
    │   ├── UnavailableError   not loaded, overloaded or shutting down
    │   │   ├── QuotaError     a key has used up what it may ask for
    │   │   └── FeaturesError  the features of a row do not come, or not in time
    │   ├── CrashedError       the process of a native model ended while it answered
    │   ├── DeadlineError      the client's time was over before its turn came
    │   └── AccessError        no key, or a wrong one
    │       └── ForbiddenError a key whose role may not do this
    ├── RecorderError          a segment cannot be written or read
    └── PlatformError          port in use, disk full, a missing extra

Each error says what happened, which input caused it and what to do next (``hint``); ``code`` is a stable slug for
programs. HTTP codes are not known here: one table in :mod:`seakeep.serving.errors` maps them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


class SeakeepError(Exception):
    """A fault with its cause and the next step for the person who reads it.

    Parameters
    ----------
    message
        What happened, naming the input.
    hint
        What to do next, or ``""``.
    """

    code: str = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(SeakeepError):
    """The project file or its declarations are wrong."""

    code = "config"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in a project: where it is, what it is, and how to mend it."""

    file: str
    line: int
    message: str
    hint: str = ""


class ProjectFaults(ConfigError):
    """All faults of a project, found in one pass."""

    code = "project-faults"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        text = "\n".join(f"{f.file}:{f.line}: {f.message}" for f in faults)
        super().__init__(text, hint="mend these and run `seakeep check` again")
        self.faults = faults


class AdoptionError(ConfigError):
    """A notebook, a model file or a run cannot be made a project.

    Parameters
    ----------
    message
        The reason.
    cell, line
        Number of the code cell and of the line in it, from 1; 0 where the reason is the whole of it.
    """

    code = "adoption"

    def __init__(self, message: str, *, cell: int = 0, line: int = 0, hint: str = "") -> None:
        super().__init__(f"cell {cell}, line {line}: {message}" if cell else message, hint=hint)
        self.reason = message
        self.cell = cell
        self.line = line


class DataError(SeakeepError):
    """A table, an event or a row is not what was declared."""

    code = "data"


class RowError(DataError):
    """One row of a request or an event batch cannot be used.

    Parameters
    ----------
    row
        Position of the row in the request, from 0.
    column
        The column at fault, or ``""`` when the row itself is.
    """

    code = "row"

    def __init__(self, message: str, *, row: int = 0, column: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.row = row
        self.column = column


class LeakError(DataError):
    """A value would be used before it could be known."""

    code = "leak"


class TrainingError(SeakeepError):
    """The user's train function failed or gave nothing usable."""

    code = "training"


class RerunMismatch(TrainingError):
    """A rerun did not reproduce the run.

    Parameters
    ----------
    differences
        One sentence per input that differed, for example ``"numpy 2.4.6 -> 2.4.7"``.
    """

    code = "rerun-mismatch"

    def __init__(self, message: str, *, differences: tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.differences = differences


class ConversionError(SeakeepError):
    """The estimator cannot be emitted exactly."""

    code = "conversion"


class InputsError(ConversionError):
    """A model file was fitted on other inputs than the model has.

    Parameters
    ----------
    names
        Those of the file, in its order; empty: it has none.
    """

    code = "inputs"

    def __init__(self, message: str, *, hint: str = "", names: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.names = names


class ParityError(ConversionError):
    """The served model is not the trained model."""

    code = "parity"


class RegistryError(SeakeepError):
    """A version, a reference or a release is not possible."""

    code = "registry"


class NotFoundError(RegistryError):
    """No such model, version, run or prediction."""

    code = "not-found"


class GateError(RegistryError):
    """A gate failed, or the evidence it needs is missing."""

    code = "gate-failed"


class ConflictError(RegistryError):
    """Somebody else changed the release first."""

    code = "conflict"


class IntegrityError(RegistryError):
    """A bundle, a signature or the audit chain does not verify."""

    code = "integrity"


class ServingError(SeakeepError):
    """A request cannot be answered."""

    code = "serving"


class UnavailableError(ServingError):
    """Not loaded, overloaded or shutting down; try again later.

    Parameters
    ----------
    retry_after_s
        Seconds after which a retry may succeed.
    """

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 1, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class CrashedError(ServingError):
    """The process of a native model ended while it answered, or had to be ended; it is started again."""

    code = "crashed"


class QuotaError(UnavailableError):
    """A key has used up what it may ask for."""

    code = "quota"


class FeaturesError(UnavailableError):
    """The features of a row do not come, or not in time."""

    code = "features"


class DeadlineError(ServingError):
    """The client's time was over before its turn came."""

    code = "deadline"


class AccessError(ServingError):
    """No key, or a wrong one."""

    code = "access"


class ForbiddenError(AccessError):
    """A key whose role may not do this."""

    code = "forbidden"


class RecorderError(SeakeepError):
    """A recorder segment cannot be written or read."""

    code = "recorder"


class PlatformError(SeakeepError):
    """The machine stands in the way: a port in use, a full disk, a missing extra."""

    code = "platform"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: the nearest one that is, or all of them."""
    import difflib

    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
