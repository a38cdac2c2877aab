"""What the processes of a service say on standard error: lines for people or JSON, never values of requests.

Lines are written by a thread of their own: whoever reads them slowly, or not at all, does not hold up serving.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import queue
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import msgspec

from seakeep.clock import MICROSECONDS, format_moment
from seakeep.config import ObserveSettings
from seakeep.errors import DataError, SeakeepError
from seakeep.serving.batch import Batch
from seakeep.serving.errors import CLIENT_CODES, RequestError, status_of
from seakeep.serving.inference import Call
from seakeep.serving.tracing import trace_id

MOST_WAITING = 4096
"""Lines that wait to be written; more are dropped and counted."""
ERRORS_A_SECOND = 20
"""Lines a worker writes about failed requests in a second; more are counted in the next one: clients choose how many fail."""
FIELDS = (
    "worker",
    "model",
    "version",
    "prediction_id",
    "rows",
    "trace_id",
    "latency_ms",
    "status",
    "code",
    "suppressed",
)
"""What a line may say beside its message."""

_access = logging.getLogger("seakeep.access")
_QUOTING = (DataError, RequestError)  # their texts quote what was sent


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as JSON."""
        told: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= _fields(record)
        if record.exc_info and record.exc_info[1]:
            told["exception"] = without_values(record.exc_info[1])
        return msgspec.json.encode(told).decode()


class Text(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as text; an exception's frames follow."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{_moment(record)} {record.levelname.lower()} {record.getMessage()}{fields}"
        if record.exc_info and record.exc_info[1]:
            line += "\n" + without_values(record.exc_info[1])
        return line


def without_values(error: BaseException) -> str:
    """An exception's kind, its causes and the places it came through; its text only where it cannot quote a request.

    The request is on record: ``seakeep why`` with the prediction's id executes it again.
    """
    parts: list[str] = []
    one: BaseException | None = error
    while one is not None and len(parts) < 8:
        told = isinstance(one, OSError) or (isinstance(one, SeakeepError) and not isinstance(one, _QUOTING))
        text = f": {one}" if told else ""
        frames = traceback.extract_tb(one.__traceback__)
        places = "".join(f"\n  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
        parts.append(f"{type(one).__name__}{text}{places}")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\nfrom ".join(parts)


@contextlib.contextmanager
def configured(settings: ObserveSettings, *, worker: int | None = None) -> Iterator[None]:
    """Let the program's loggers write to standard error, in the form that is set, until the end of the block.

    Parameters
    ----------
    worker
        The number that each line names.
    """
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonLines() if settings.logs == "json" else Text())
    waiting = _Waiting(worker)
    logger = logging.getLogger("seakeep")
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(waiting)
    listener = QueueListener(waiting.queue, output)
    listener.start()
    try:
        yield
    finally:
        logger.removeHandler(waiting)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        listener.stop()


class _Waiting(QueueHandler):
    """A bounded queue before the standard error."""

    def __init__(self, worker: int | None) -> None:
        self._lines = queue.SimpleQueue[Any]()
        super().__init__(self._lines)
        self._worker = worker
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A record as it is queued: with its exception, which the formatter reads."""
        record = copy.copy(record)
        record.msg, record.args = record.getMessage(), None
        if self._worker is not None:
            record.worker = self._worker
        if self._dropped:
            record.suppressed, self._dropped = getattr(record, "suppressed", 0) + self._dropped, 0
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or count it."""
        if self._lines.qsize() >= MOST_WAITING:
            self._dropped += 1 + getattr(record, "suppressed", 0)
        else:
            self._lines.put(record)


class AccessLog:
    """Tells of requests: of those that failed always, up to a rate, and of a share of the others.

    Parameters
    ----------
    share
        Of answered requests, 0 to 1.
    draw
        A random number from 0 to below 1.
    now_s
        A clock that only goes forward, seconds.
    """

    def __init__(self, share: float, draw: Callable[[], float], now_s: Callable[[], float] = time.monotonic) -> None:
        self._share, self._draw, self._now_s = share, draw, now_s
        self._second = self._told = self._suppressed = 0

    def answered(self, calls: Sequence[Call], batches: Sequence[Batch]) -> None:
        """Tell of the requests of a turn; a failed one is named by the prediction that records it."""
        share = self._share
        failed = False
        for call in calls:
            if call.error is not None:
                failed = True
            elif share and self._draw() < share:
                self._line(call, call.answers[0].id, str(call.answers[0].version))
        if not failed:
            return
        recorded: set[int] = set()
        for batch in batches:
            start = 0
            for part in batch.parts:
                if part.call.error is not None and id(part.call) not in recorded:
                    recorded.add(id(part.call))
                    self._line(part.call, batch.answers[start].id, str(batch.version.number))
                start += part.size
        for call in calls:
            if call.error is not None and id(call) not in recorded:
                self._line(call, "", "")

    def refused(self, error: SeakeepError) -> None:
        """Tell of a request that was refused before it was one for a prediction."""
        if self._allowed():
            self._write("refused", error, {})

    def _line(self, call: Call, prediction: str, version: str) -> None:
        if call.error is not None and not self._allowed():
            return
        told = {
            "model": call.model,
            "version": version,
            "prediction_id": prediction,
            "rows": call.size,
            "trace_id": trace_id(call.trace, prediction),
            "latency_ms": round((call.done_s - call.arrived_s) * 1e3, 3),
        }
        self._write("predict", call.error, told)

    def _write(self, what: str, error: SeakeepError | None, told: dict[str, Any]) -> None:
        told["status"] = status_of(error) if error else 200
        level = logging.INFO
        if error:
            told["code"] = error.code
            level = logging.INFO if error.code in CLIENT_CODES else logging.ERROR
            if self._suppressed:
                told["suppressed"], self._suppressed = self._suppressed, 0
        _access.log(level, what, extra=told)

    def _allowed(self) -> bool:
        second = int(self._now_s())
        if second != self._second:
            self._second, self._told = second, 0
        self._told += 1
        if self._told > ERRORS_A_SECOND:
            self._suppressed += 1
            return False
        return True


def _moment(record: logging.LogRecord) -> str:
    return f"{format_moment(int(record.created * MICROSECONDS))[:-1]}.{int(record.msecs):03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name in FIELDS if (value := getattr(record, name, "")) != ""}
