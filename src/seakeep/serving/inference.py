"""One request for predictions on its way through the data plane, whatever transport it came by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from typing import Literal as OneOf

import msgspec

from seakeep.errors import SeakeepError
from seakeep.records.prediction import Role, Rung
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.priority import NORMAL
from seakeep.serving.v1 import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(slots=True, kw_only=True)
class Inputs:
    """Inputs of ``n`` rows to one model, and what is to be recorded of where they came from.

    Attributes
    ----------
    numbers, categories
        float64 ``(n, numbers)`` and object ``(n, categories)``.
    keys, times_us, raw
        Of the rows; each ``raw`` is empty for a client that sent the inputs themselves.
    view_times_us, unknown
        By row, see :class:`seakeep.serving.ports.Assembled`.
    decode_us, features_us
        Time it took for all rows, microseconds.
    """

    numbers: NDArray[Any]
    categories: NDArray[Any]
    keys: list[str]
    times_us: list[int]
    raw: list[dict[str, Any]]
    view_times_us: list[list[int]]
    unknown: list[tuple[str, ...]]
    decode_us: float = 0.0
    features_us: float = 0.0

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: list[int]) -> Inputs:
        """Some of the rows."""
        return Inputs(
            numbers=self.numbers[rows],
            categories=self.categories[rows],
            keys=[self.keys[row] for row in rows],
            times_us=[self.times_us[row] for row in rows],
            raw=[self.raw[row] for row in rows],
            view_times_us=[self.view_times_us[row] for row in rows],
            unknown=[self.unknown[row] for row in rows],
        )


class Trace(NamedTuple):
    """Where a traced request is in its trace; both 0 where the trace begins with it."""

    trace_id: int
    parent: int


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """One request for predictions.

    Attributes
    ----------
    rows
        As sent; empty where the client sent the inputs themselves.
    direct, version, role
        Inputs as sent, with the version that was chosen when they were read, and its role; else None.
    reply
        Called with the call; ``answers`` or ``error`` is set by then. Once, or again with an error if it raises.
    arrived_s, parsed_s
        ``time.perf_counter()`` when the request had arrived, and when it was queued.
    deadline_s
        ``time.perf_counter()`` after which nobody waits for the answer; None: there is none.
    rung
        Where it enters: ``""`` at the top, or lower where it would wait too long there.
    rank
        Of its class, see :mod:`seakeep.serving.priority`.
    trace
        None: the request is not traced.
    replied_s, done_s
        ``time.perf_counter()`` before and after the answer was made and sent.
    answers
        One a row.
    answered
        Whether ``reply`` was called.
    size
        Number of rows.
    """

    model: str
    principal: str
    reply: Callable[[Call], None]
    arrived_s: float
    parsed_s: float
    deadline_s: float | None = None
    rank: int = NORMAL
    rung: Rung | OneOf[""] = ""
    trace: Trace | None = None
    rows: list[msgspec.Raw] = dataclasses.field(default_factory=list)
    direct: Inputs | None = None
    version: LoadedVersion | None = None
    role: Role = "champion"
    answers: list[Answer] = dataclasses.field(default_factory=list)
    error: SeakeepError | None = None
    replied_s: float = 0.0
    done_s: float = 0.0
    answered: bool = False
    size: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.rows) if self.direct is None else len(self.direct.keys)


@dataclasses.dataclass(slots=True, eq=False)
class Part:
    """The rows of a call that one version answers.

    Attributes
    ----------
    positions
        Of the rows in the call; None: all.
    error
        Why this version did not answer.
    stood_in
        Whether something else answered in its place.
    instead_of
        For answers that stand in, the ids of those that failed, or of the first ones that are told again; by row.
    """

    call: Call
    version: LoadedVersion
    role: Role
    positions: list[int] | None = None
    error: SeakeepError | None = None
    stood_in: bool = False
    instead_of: Sequence[str] = ()

    @property
    def rows(self) -> list[msgspec.Raw]:
        """Its rows."""
        rows = self.call.rows
        return rows if self.positions is None else [rows[position] for position in self.positions]

    @property
    def size(self) -> int:
        """Number of its rows."""
        return self.call.size if self.positions is None else len(self.positions)


_RUNGS: dict[str, OneOf["", "stale", "standby", "rule", "cached"]] = {
    "stale": "stale",
    "standby": "standby",
    "rule": "rule",
    "cached": "cached",
}


def rung_of(role: Role) -> OneOf["", "stale", "standby", "rule", "cached"]:
    """What a client is told of a role; ``""`` for a full answer."""
    return _RUNGS.get(role, "")
