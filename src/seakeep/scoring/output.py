"""The folder that a job writes: whole parts, a journal of them, and ``_SUCCESS`` at the end.

A part appears by one rename, and counts once its line is in the journal, both durable by then. Whatever a process that was
killed had begun beyond that is written again under the same name: so no row is lost, and none doubled. The plan of the job
is written first, and no other job goes on in its folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec
import numpy as np

from seakeep.errors import DataError, IntegrityError, PlatformError
from seakeep.recorder.layout import remove_asides, sync_folder, write_aside
from seakeep.records.scoring import Scored, ScoredPart, ScoringPlan
from seakeep.scoring.cells import literal, quoted

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAN, JOURNAL, SUCCESS = "_plan.json", "_journal.jsonl", "_SUCCESS"
_DRAFT = ".draft-"
_SHOWN = 40
"""Characters of what differs that an error repeats."""
_ELSEWHERE = "score into another folder, or remove this one"


class Answers(NamedTuple):
    """What a part holds, by column.

    Attributes
    ----------
    given
        The answers, by column of the output: ``(n,)``, or for a struct each of its fields so. Where there is an error they do
        not count.
    unknown
        Names of the views that knew nothing of the row's entity, as JSON.
    errors, hints
        ``""``: there is an answer.
    kept
        Columns of the input as text, by name, and the type each had.
    """

    keys: list[str]
    given: Mapping[str, NDArray[Any] | Mapping[str, NDArray[Any]]]
    unknown: list[str]
    errors: list[str]
    hints: list[str]
    kept: dict[str, tuple[str, list[str | None]]]


class Output:
    """The output of one job; a context manager that keeps other processes out.

    Parameters
    ----------
    folder
        Made on entry, in a folder that is there. It must be empty, or be of the same job.
    connection
        See :mod:`seakeep.scoring.engine`.
    """

    def __init__(self, folder: Path, connection: Any) -> None:
        self.folder, self._connection = folder, connection
        self.parts: list[ScoredPart] = []
        self._lock = -1

    def __enter__(self) -> Self:
        """Hold the folder.

        Raises
        ------
        DataError
            It holds something else.
        PlatformError
            It cannot be made, or another process writes it.
        """
        with _writing(self.folder):
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._let_go()
            message = f"another process writes {self.folder}"
            raise PlatformError(message, hint="wait for it, or score into another folder") from None
        remove_asides(self.folder)
        names = sorted(entry.name for entry in self.folder.iterdir())
        foreign = [name for name in names if not name.startswith((".", "_"))]
        if foreign and PLAN not in names:
            self._let_go()
            message = f"{self.folder} holds other files, for example {foreign[0]}"
            raise DataError(message, hint="give an empty folder, or one that is not there yet")
        return self

    def __exit__(self, *_: object) -> None:
        """Let the folder go."""
        self._let_go()

    @property
    def plan(self) -> ScoringPlan | None:
        """The job that was begun here; None: none yet."""
        path = self.folder / PLAN
        return _decoded(path, path.read_bytes(), ScoringPlan) if path.exists() else None

    @property
    def done(self) -> Scored | None:
        """What the finished job has done; None: it is not finished."""
        path = self.folder / SUCCESS
        return _decoded(path, path.read_bytes(), Scored) if path.exists() else None

    def begin(self, plan: ScoringPlan) -> None:
        """Begin a job, or go on with it where its last whole part ends.

        Raises
        ------
        DataError
            Another job was begun here; the message names what differs.
        IntegrityError
            A part was changed since, or is gone.
        """
        begun = self.plan
        if begun is None:
            with _writing(self.folder):
                write_aside(self.folder / PLAN, msgspec.json.format(msgspec.json.encode(plan)))
        elif begun != plan:
            message = f"{self.folder} was begun with {'; '.join(_differences(begun, plan))}"
            raise DataError(message, hint=_ELSEWHERE)
        self.parts = self._journal()
        for part in self.parts:
            path = self.folder / part.name
            if not path.is_file() or _digest(path) != part.sha256:
                raise IntegrityError(f"{path} was changed since it was written, or is gone", hint=_ELSEWHERE)

    def add(self, at: tuple[int, int], plan: ScoringPlan, answers: Answers) -> ScoredPart:
        """Write the answers to the rows from ``at``, an input and a row in it, on; durable when this returns.

        Raises
        ------
        PlatformError
            There is no room, or the folder cannot be written; the parts before stay, and the job can go on.
        """
        name = f"part-{len(self.parts):06d}.parquet"
        draft = self.folder / f"{_DRAFT}{name}"
        with _writing(self.folder):
            with self._connection.cursor() as cursor:
                _write(cursor, draft, at, plan, answers)
            _sync(draft)
            part = ScoredPart(
                name=name,
                input=at[0],
                from_row=at[1],
                rows=len(answers.keys),
                refused=sum(map(bool, answers.errors)),
                unknown=sum(views != "[]" for views in answers.unknown),
                sha256=_digest(draft),
            )
            draft.replace(self.folder / name)
            sync_folder(self.folder)
            with (self.folder / JOURNAL).open("ab") as journal:
                journal.write(msgspec.json.encode(part) + b"\n")
                journal.flush()
                os.fsync(journal.fileno())
            sync_folder(self.folder)
        self.parts.append(part)
        return part

    def finish(self, plan: ScoringPlan) -> Scored:
        """Say that all is there."""
        scored = Scored(
            plan=plan,
            parts=tuple(self.parts),
            rows=sum(part.rows for part in self.parts),
            refused=sum(part.refused for part in self.parts),
            unknown=sum(part.unknown for part in self.parts),
        )
        if scored.rows != plan.rows:
            raise IntegrityError(f"{scored.rows:,} of {plan.rows:,} rows are in {self.folder}", hint=_ELSEWHERE)
        with _writing(self.folder):
            write_aside(self.folder / SUCCESS, msgspec.json.format(msgspec.json.encode(scored)))
        return scored

    def _journal(self) -> list[ScoredPart]:
        """The parts that count; a last line that a kill cut short is taken away."""
        path = self.folder / JOURNAL
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with _writing(self.folder):
                os.truncate(path, whole)
        return [_decoded(path, line, ScoredPart) for line in content[:whole].splitlines()]

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _differences(begun: ScoringPlan, plan: ScoringPlan) -> Iterator[str]:
    for name in ScoringPlan.__struct_fields__:
        one, other = getattr(begun, name), getattr(plan, name)
        if one == other:
            continue
        if name == "inputs":
            changed = [a.name for a, b in zip(one, other, strict=False) if a != b]
            yield f"another {changed[0]}" if changed else f"{len(one):,} input files, not {len(other):,}"
        else:
            yield f"{name} {_shown(one)}, not {_shown(other)}"


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode().strip('"')
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _write(cursor: Any, path: Path, at: tuple[int, int], plan: ScoringPlan, answers: Answers) -> None:
    """One Parquet file; the same bytes for the same answers."""
    count = len(answers.keys)
    columns: dict[str, Any] = {
        "input_row": np.arange(at[1], at[1] + count, dtype=np.int64),
        "key": _texts(answers.keys),
        "unknown": _texts(answers.unknown),
        "error": _texts(answers.errors),
        "hint": _texts(answers.hints),
    }
    chosen = [f"{literal(plan.inputs[at[0]].name)} AS input_file", "input_row", "key"]
    for name, given in answers.given.items():
        fields = given if isinstance(given, Mapping) else {"": given}
        places = {field: f"{name} {place}" for place, field in enumerate(fields)}
        columns.update((places[field], values) for field, values in fields.items())
        packed = ", ".join(f"{quoted(field)} := {quoted(place)}" for field, place in places.items())
        value = f"struct_pack({packed})" if fields is given else quoted(places[""])
        chosen.append(f"CASE WHEN error = '' THEN {value} END AS {quoted(name)}")
    chosen += [
        f"CAST({plan.version} AS INTEGER) AS version",
        "CAST(CAST(unknown AS JSON) AS VARCHAR[]) AS unknown",
        "nullif(error, '') AS error",
        "nullif(hint, '') AS hint",
    ]
    for place, (name, (kind, values)) in enumerate(answers.kept.items()):
        columns[f"kept {place}"] = _texts(values)
        chosen.append(f"CAST({quoted(f'kept {place}')} AS {kind}) AS {quoted(name)}")
    cursor.register("answers", columns)
    query = f"select {', '.join(chosen)} from answers"  # noqa: S608 -- quoted
    cursor.execute(f"copy ({query}) to {literal(str(path))} (format parquet, compression zstd)")


ANSWERS = ("score", "decision", "value", "class", "probability", "probabilities")
NAMES = ("input_file", "input_row", "key", *ANSWERS, "version", "unknown", "error", "hint")
"""Columns of our own; none that is kept may have such a name."""


def _texts(values: Sequence[str | None]) -> NDArray[np.object_]:
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    import duckdb

    try:
        yield
    except (OSError, duckdb.IOException) as error:
        told = (error.strerror if isinstance(error, OSError) else "") or str(error).split("\n", maxsplit=1)[0]
        message = f"cannot write {folder}: {told}"
        hint = "make room, or mend its rights, and give the same command again: it goes on where it stopped"
        raise PlatformError(message, hint=hint) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decoded(path: Path, content: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise IntegrityError(f"{path} cannot be read: {error}", hint=_ELSEWHERE) from error
