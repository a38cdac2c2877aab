"""What the data plane needs of the other stages, in its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from typing import Literal as OneOf

from seakeep.records.model import ModelDefinition
from seakeep.records.prediction import Cell, EventBatch, Prediction
from seakeep.records.release import Route
from seakeep.records.source import ColumnSchema, Events
from seakeep.serving.batching import Cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

Action = OneOf["predict", "events", "metrics"]


class Assembled(Protocol):
    """The inputs of ``n`` rows."""

    @property
    def numbers(self) -> NDArray[Any]:
        """float64 ``(n, numbers)``, NaN for missing."""
        ...

    @property
    def categories(self) -> NDArray[Any]:
        """Object ``(n, categories)`` of ``str``, ``""`` for missing."""
        ...

    @property
    def view_times_us(self) -> NDArray[Any]:
        """int64 ``(n, views)``: when the newest event in each view became known; 0 if it had none."""
        ...

    @property
    def unknown(self) -> Sequence[Sequence[str]]:
        """For each row the views that know nothing of its entity."""
        ...


class FeatureSource(Protocol):
    """Features at the moment of asking; all workers share what it holds."""

    def add(self, definition: ModelDefinition) -> None:
        """Keep the views of a definition up to date from now on."""
        ...

    def assemble(
        self, definition: ModelDefinition, table: Mapping[str, NDArray[Any]], times_us: NDArray[Any]
    ) -> Assembled:
        """The inputs of the rows in ``table``, each as of its own moment (int64 ``(n,)``)."""
        ...

    def recall(
        self, definition: ModelDefinition, table: Mapping[str, NDArray[Any]], times_us: NDArray[Any], most_age_s: float
    ) -> Assembled:
        """The same from what was looked up in the last seconds, at once; FeaturesError where that does not suffice."""
        ...

    def ingest(self, source: str, columns: Mapping[str, list[Cell]], batch: str) -> bool:
        """Apply a batch of events, all or nothing; False if that batch had been applied before."""
        ...


class DecodedRows(Protocol):
    """Rows that ask for predictions."""

    @property
    def table(self) -> dict[str, NDArray[Any]]:
        """Columns, each of shape ``(n,)``."""
        ...

    @property
    def keys(self) -> list[str]:
        """The rows' keys; ``""`` where the model's request has none."""
        ...

    @property
    def times_us(self) -> NDArray[Any]:
        """int64 ``(n,)``; 0 where the row has no time."""
        ...

    @property
    def raw(self) -> list[dict[str, Any]]:
        """The rows as they were sent."""
        ...


class RequestDecoder(Protocol):
    """Decodes the rows of requests to one model."""

    def decode(self, rows: bytes) -> DecodedRows:
        """Decode a JSON array of objects; RowError names the first row and column at fault."""
        ...


class EventDecoder(Protocol):
    """Decodes batches of events of one source."""

    def decode(self, rows: bytes) -> dict[str, list[Cell]]:
        """Decode a JSON array of objects to columns; RowError names the first row and column at fault."""
        ...


RequestDecoders = Callable[[ModelDefinition], RequestDecoder]
EventDecoders = Callable[[Events, Sequence[ColumnSchema]], EventDecoder]


class RecordSink(Protocol):
    """The flight recorder's pen."""

    @property
    def alive(self) -> bool:
        """Whether it can still write, now or later; if not, a new pen counts what this one leaves."""
        ...

    @property
    def answers_wait(self) -> bool:
        """Whether an answer must not go out before its record is durable."""
        ...

    def next_sequence(self, count: int = 1) -> int:
        """The number for the next record, the first of ``count`` in a row."""
        ...

    def append(self, record: Prediction | EventBatch) -> bool:
        """Record something soon, without blocking; False if it was dropped and will be counted in a gap."""
        ...

    def commit(self) -> None:
        """Block until everything appended is durable; RecorderError if it is not."""
        ...

    def close(self) -> None:
        """Write what is left and stop."""
        ...


class Stage(NamedTuple):
    """One stage of a request; nanoseconds since the epoch."""

    name: str
    start_ns: int
    end_ns: int


class Traced(NamedTuple):
    """A request that was answered, to be told to whoever collects traces.

    Attributes
    ----------
    trace_id, parent
        128 and 64 bits; ``parent`` is 0 where the trace begins here.
    error
        Code of the error that the client got; ``""`` if there is none.
    """

    trace_id: int
    parent: int
    name: str
    start_ns: int
    end_ns: int
    stages: tuple[Stage, ...]
    attributes: Mapping[str, str | int | tuple[str, ...]]
    error: str


class SpanSink(Protocol):
    """Whoever collects traces."""

    def put(self, traced: Traced) -> None:
        """Take a traced request, without blocking; it may be lost."""
        ...

    def close(self) -> None:
        """Send what waits, for a short while, and stop."""
        ...


class RoutingSource(Protocol):
    """Which versions are to answer."""

    def revision(self) -> int:
        """A number that changes whenever the routes do; cheap, asked 50 times a second."""
        ...

    def routes(self) -> Sequence[Route]:
        """The routes of all models."""
        ...


class Bundle(Protocol):
    """A verified version."""

    @property
    def definition(self) -> ModelDefinition:
        """The resolved definition."""
        ...

    @property
    def threshold(self) -> float:
        """Score from which the decision is "yes"."""
        ...

    @property
    def model(self) -> bytes:
        """The converted model."""
        ...


class BundleSource(Protocol):
    """The registry's bundles."""

    def open(self, digest: str) -> Bundle:
        """Read and verify a bundle; IntegrityError if it does not verify."""
        ...


class CostStore(Protocol):
    """What models cost on this host."""

    def get(self, bundle: str) -> Cost | None:
        """What was measured for a bundle here; None: nothing yet."""
        ...

    def put(self, bundle: str, cost: Cost) -> None:
        """Keep what was measured, so that nobody needs to measure it again."""
        ...


class Authenticator(Protocol):
    """Who asks, and whether they may."""

    def check(self, authorization: bytes, action: Action) -> str:
        """The principal behind an ``Authorization`` header (``b""``: none sent); AccessError if it may not."""
        ...
