"""A small real service to test the data plane with: a hand-made ONNX model, features and releases in files.

:meth:`Rig.command` is the command line of one worker as a process, which reads rows and events as the product does.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import math
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from seakeep.clock import SystemClock, TimeOrderedIds, parse_moment
from seakeep.config import RecorderSettings, ServingSettings
from seakeep.conversion.session import ScoringSession
from seakeep.errors import AccessError, IntegrityError, RowError
from seakeep.features import rows
from seakeep.recorder.writer import Writer
from seakeep.records.expression import col
from seakeep.records.feature import FeatureColumn, FeatureView, mean
from seakeep.records.model import Label, ModelDefinition, Threshold
from seakeep.records.prediction import EventBatch, Prediction, Record
from seakeep.records.release import Route
from seakeep.records.source import ColumnSchema, Events
from seakeep.serving.loaded import LoadedVersion, load
from seakeep.serving.worker import WorkerContext, run_worker

FLIGHTS = Events("flights", time="scheduled", key="flight_id")
ARRIVALS = Events("arrivals", time="landed", key="flight_id")
COLUMNS = (
    FeatureColumn(name="carrier_recent.late_1h", kind="number", view="carrier_recent"),
    FeatureColumn(name="distance", kind="number"),
    FeatureColumn(name="carrier", kind="category"),
)
CARRIERS = {"AA": 0.25, "UA": -0.5, "DL": 1.5}


def definition(name: str = "late", *, version: int = 1) -> ModelDefinition:
    """Versions differ in how they say the same, so that a row has to be read for each."""
    distance = col("distance")
    for _ in range(1, version):
        distance += 0
    return ModelDefinition(
        name=name,
        request=FLIGHTS,
        views=(FeatureView("carrier_recent", ARRIVALS, "carrier", {"late": mean("arr_delay", over=["1h"])}),),
        request_features={"distance": distance, "carrier": col("carrier")},
        label=Label(ARRIVALS, col("arr_delay") > 15),
        decision=Threshold(0.5),
        schemas={
            "flights": (
                ColumnSchema(name="flight_id", kind="string", nullable=False),
                ColumnSchema(name="scheduled", kind="time"),
                ColumnSchema(name="distance", kind="float"),
                ColumnSchema(name="carrier", kind="string"),
            ),
            "arrivals": (
                ColumnSchema(name="flight_id", kind="string", nullable=False),
                ColumnSchema(name="landed", kind="time"),
                ColumnSchema(name="carrier", kind="string", nullable=False),
                ColumnSchema(name="arr_delay", kind="float"),
            ),
        },
        columns=COLUMNS,
    )


def onnx_model(bias: float = 0.0, *, nan_below: float | None = None, trouble: str = "") -> bytes:
    """score = sigmoid(0.125 * late + 0.001 * distance + effect of carrier + bias); missing numbers count as 0.

    ``nan_below``: distances below it give NaN, like a model that is broken for some rows. ``trouble``: at distances below
    TROUBLE the model raises an error (``"error"``) or does not return (``"hang"``); warming up does not come there.
    """
    from onnx import TensorProto, helper

    def number(name: str, *values: float, shape: tuple[int, ...] = ()) -> Any:
        return helper.make_tensor(name, TensorProto.DOUBLE, shape, values)

    nodes = [
        helper.make_node("IsNaN", ["numbers"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "numbers"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["linear"]),
        helper.make_node(
            "LabelEncoder",
            ["categories"],
            ["effect"],
            domain="ai.onnx.ml",
            keys_strings=list(CARRIERS),
            values_tensor=number("effects", *CARRIERS.values(), shape=(len(CARRIERS),)),
            default_tensor=number("default", 0.0, shape=(1,)),
        ),
        helper.make_node("Add", ["linear", "effect"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["clean" if nan_below is not None else "score"]),
    ]
    constants = [
        number("zero", 0.0),
        number("weights", 0.125, 0.001, shape=(2, 1)),
        number("bias", bias),
        helper.make_tensor("axis", TensorProto.INT64, (1,), [1]),
    ]
    if nan_below is not None:
        constants += [
            number("limit", nan_below),
            number("nan", math.nan),
            helper.make_tensor("second", TensorProto.INT64, (), [1]),
        ]
        nodes += [
            helper.make_node("Gather", ["filled", "second"], ["distance"], axis=1),
            helper.make_node("Less", ["distance", "limit"], ["broken"]),
            helper.make_node("Where", ["broken", "nan", "clean"], ["score"]),
        ]
    if trouble:
        more_nodes, more_constants = _trouble(trouble)
        nodes, constants = [*nodes[:-1], *more_nodes], [*constants, *more_constants]
    graph = helper.make_graph(
        nodes,
        "rig",
        [
            helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["n", 2]),
            helper.make_tensor_value_info("categories", TensorProto.STRING, ["n", 1]),
        ],
        [helper.make_tensor_value_info("score", TensorProto.DOUBLE, ["n"])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 4)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


TROUBLE = -1e6


def _trouble(kind: str) -> tuple[list[Any], list[Any]]:
    """The end of a graph that adds nothing to the score, but raises an error or does not return if any row asks for it."""
    from onnx import TensorProto, helper

    def whole(name: str, value: int, *shape: int) -> Any:
        return helper.make_tensor(name, TensorProto.INT64, shape, [value])

    constants = [
        helper.make_tensor("limit", TensorProto.DOUBLE, (), [TROUBLE]),
        helper.make_tensor("nothing", TensorProto.DOUBLE, (1,), [0.0]),
        helper.make_tensor("going", TensorProto.BOOL, (), [True]),
        whole("second", 1), whole("all", 0, 1), whole("forever", 2**62),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Squeeze", ["column", "axis"], ["clean"]),
        helper.make_node("Gather", ["filled", "second"], ["distance"], axis=1),
        helper.make_node("Less", ["distance", "limit"], ["asked"]),
        helper.make_node("Cast", ["asked"], ["ones"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["ones"], ["any"], keepdims=0),
        helper.make_node("Mul", ["any", "forever"], ["far"]),
    ]
    if kind == "error":
        nodes.append(helper.make_node("Gather", ["nothing", "far"], ["added"]))
    else:
        value = helper.make_tensor_value_info
        body = helper.make_graph(
            [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Neg", ["it"], ["that"])],
            "again",
            [value("round", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("it", TensorProto.DOUBLE, [1])],
            [value("still", TensorProto.BOOL, []), value("that", TensorProto.DOUBLE, [1])],
        )  # fmt: skip
        nodes.append(helper.make_node("Loop", ["far", "going", "nothing"], ["added"], body=body))
    return [*nodes, helper.make_node("Add", ["clean", "added"], ["score"])], constants


def expected_score(late: float, distance: float, carrier: str, bias: float = 0.0) -> float:
    late, distance = (0.0 if math.isnan(value) else value for value in (late, distance))
    return 1 / (1 + math.exp(-(0.125 * late + 0.001 * distance + CARRIERS.get(carrier, 0.0) + bias)))


_TYPES = {"float": float, "int": int, "bool": bool, "string": str, "time": str | int}


class _Decoder:
    def __init__(self, schema: Sequence[ColumnSchema]) -> None:
        fields = [
            (column.name, _TYPES[column.kind] | None, None) if column.nullable else (column.name, _TYPES[column.kind])
            for column in schema
        ]
        row = msgspec.defstruct("Row", fields, kw_only=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(list[row])
        self._names = [column.name for column in schema]
        self._times = {column.name for column in schema if column.kind == "time"}

    def columns(self, rows: bytes) -> dict[str, list[Any]]:
        try:
            decoded = self._decoder.decode(rows)
            columns = {name: [getattr(row, name) for row in decoded] for name in self._names}
            for name in self._times:
                columns[name] = [parse_moment(cell) if isinstance(cell, str) else cell for cell in columns[name]]
        except (ValueError, UnicodeDecodeError) as error:
            text = str(error)
            row = int(text.partition("$[")[2].partition("]")[0] or 0)
            message = f"row {row}: {text}"
            raise RowError(message, row=row) from error
        return columns


class RequestDecoder(_Decoder):
    def __init__(self, definition: ModelDefinition) -> None:
        super().__init__(definition.schemas[definition.request.name])

    def decode(self, rows: bytes) -> Any:
        columns = self.columns(rows)
        times = np.array([cell or 0 for cell in columns["scheduled"]], dtype=np.int64)
        table = {
            "flight_id": np.array(columns["flight_id"], dtype=object),
            "scheduled": times.view("datetime64[us]"),
            "distance": np.array(columns["distance"], dtype=np.float64),
            "carrier": np.array([cell or "" for cell in columns["carrier"]], dtype=object),
        }
        return SimpleNamespace(table=table, keys=columns["flight_id"], times_us=times, raw=msgspec.json.decode(rows))


class EventDecoder(_Decoder):
    def __init__(self, _source: Events, schema: Sequence[ColumnSchema]) -> None:
        super().__init__(schema)

    def decode(self, rows: bytes) -> dict[str, list[Any]]:
        return self.columns(rows)


class FileFeatures:
    """The mean delay of each carrier over all events, in one file that the workers share."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, -1
        path.touch()
        self._means: dict[str, float] = {}
        self._newest: dict[str, int] = {}
        self.added: list[ModelDefinition] = []

    def add(self, definition: ModelDefinition) -> None:
        self.added.append(definition)

    def assemble(self, definition: ModelDefinition, table: Mapping[str, Any], times_us: Any) -> Any:
        self._refresh()
        carriers = table["carrier"].tolist()
        late = [self._means.get(carrier, math.nan) for carrier in carriers]
        return SimpleNamespace(
            numbers=np.column_stack([np.array(late), table["distance"]]),
            categories=table["carrier"].reshape(-1, 1),
            view_times_us=np.array([[self._newest.get(carrier, 0)] for carrier in carriers], dtype=np.int64),
            unknown=[() if carrier in self._means else ("carrier_recent",) for carrier in carriers],
        )

    def ingest(self, source: str, columns: dict[str, list[Any]], batch: str) -> bool:
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if any(json.loads(line)["batch"] == batch for line in file):
                return False
            file.write(json.dumps({"batch": batch, "source": source, "columns": columns}) + "\n")
            return True

    def _refresh(self) -> None:
        size = self._path.stat().st_size
        if size == self._seen:
            return
        self._seen = size
        delays: dict[str, list[float]] = {}
        for line in self._path.read_text().splitlines():
            columns = json.loads(line)["columns"]
            for carrier, delay, landed in zip(columns["carrier"], columns["arr_delay"], columns["landed"], strict=True):
                delays.setdefault(carrier, []).append(delay)
                self._newest[carrier] = max(landed, self._newest.get(carrier, 0))
        self._means = {carrier: sum(values) / len(values) for carrier, values in delays.items()}


class ListSink:
    """Keeps records in memory; can be told to drop or to fail."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.committed = 0
        self.closed = False
        self.alive = True
        self.full = False
        self.answers_wait = False
        self.fault: Exception | None = None
        self.last = 0
        self._lock = threading.Lock()

    def next_sequence(self, count: int = 1) -> int:
        with self._lock:
            self.last += count
            return self.last - count + 1

    def append(self, record: Prediction | EventBatch) -> bool:
        if not self.full:
            self.records.append(record)
        return not self.full

    def commit(self) -> None:
        if self.fault:
            raise self.fault
        self.committed = len(self.records)

    def close(self) -> None:
        self.closed = True


class FileSink(ListSink):
    """Writes records, one line of hexadecimal msgpack each, when told to commit or to close."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("ab")
        self._written = 0

    def commit(self) -> None:
        with self._lock:
            records = self.records[self._written :]
            self._written += len(records)
            self._file.write(b"".join(msgspec.msgpack.encode(record).hex().encode() + b"\n" for record in records))
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self.commit()
        self._file.close()
        self.closed = True


class FileBundles:
    """Bundles in a folder, each verified by its digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, definition: ModelDefinition, model: bytes, threshold: float = 0.5) -> str:
        content = msgspec.msgpack.encode({"definition": definition, "model": model, "threshold": threshold})
        digest = hashlib.sha256(content).hexdigest()
        (self._folder / digest).write_bytes(content)
        return digest

    def open(self, digest: str) -> Any:
        try:
            content = (self._folder / digest).read_bytes()
        except OSError as error:
            raise IntegrityError(f"no bundle at {self._folder / digest}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise IntegrityError(f"{self._folder / digest} is not what was signed")
        found = msgspec.msgpack.decode(content)
        resolved = msgspec.convert(found["definition"], ModelDefinition)
        return SimpleNamespace(definition=resolved, model=found["model"], threshold=found["threshold"])


class FileRoutes:
    """Routes in a file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, *routes: Route) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(routes))
        draft.rename(self._path)

    def revision(self) -> int:
        return self._path.stat().st_mtime_ns if self._path.exists() else 0

    def routes(self) -> Sequence[Route]:
        return msgspec.json.decode(self._path.read_bytes(), type=tuple[Route, ...]) if self._path.exists() else ()


class KeyTable:
    """Keys and what they may do; without any, everybody may do everything."""

    def __init__(self, keys: Mapping[bytes, tuple[str, ...]]) -> None:
        self._keys = keys

    def check(self, authorization: bytes, action: str) -> str:
        if not self._keys:
            return "anonymous"
        if action not in self._keys.get(authorization.removeprefix(b"Bearer "), ()):
            raise AccessError("this needs an API key that may do it", hint="send 'Authorization: Bearer ...'")
        return authorization.removeprefix(b"Bearer ").decode()


class Rig:
    """The service's files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = folder / "metrics"
        self.bundles = FileBundles(folder / "bundles")
        self.releases = FileRoutes(folder / "routes.json")

    def put(
        self, version: int, *, model: bytes | None = None, name: str = "late", of: ModelDefinition | None = None
    ) -> Route:
        """Put a version among the bundles; its champion's route."""
        digest = self.bundles.put(of or definition(name), model or onnx_model(bias=version / 8))
        return Route(model=name, version=version, bundle=digest, role="champion", weight=1.0)

    def load(self, route: Route) -> LoadedVersion:
        """A version as a worker loads it."""
        features = FileFeatures(self.folder / "features.jsonl")
        return load(route, bundles=self.bundles, features=features, decoders=RequestDecoder)

    def context(self, index: int, settings: ServingSettings, **changes: Any) -> WorkerContext:
        clock = SystemClock()
        parts: dict[str, Any] = {
            "index": index,
            "settings": settings,
            "metrics": self.metrics,
            "routing": self.releases,
            "bundles": self.bundles,
            "features": FileFeatures(self.folder / "features.jsonl"),
            "predictions": ListSink(),
            "events": ListSink(),
            "authenticator": KeyTable({}),
            "request_decoders": RequestDecoder,
            "event_decoders": EventDecoder,
            "clock": clock,
            "ids": TimeOrderedIds(clock),
            "version": "test",
        }
        return WorkerContext(**(parts | changes))

    def command(self, index: int, port: int) -> list[str]:
        start = f"import sys; sys.path[:0] = {sys.path!r}; from tests.serving_rig import main; main()"
        return [sys.executable, "-c", start, str(self.folder), str(index), str(port)]

    @property
    def recorder(self) -> Path:
        """If this folder is there when a worker starts, the flight recorder keeps its predictions in it."""
        return self.folder / "recorder"

    def records(self, kind: str) -> list[Record]:
        """What the workers' sinks wrote: ``predictions`` or ``events``."""
        lines = [line for path in self.folder.glob(f"{kind}-*.hex") for line in path.read_text().splitlines()]
        return [msgspec.msgpack.decode(bytes.fromhex(line), type=Record) for line in lines]


def candidate(route: Route, weight: float) -> Route:
    return msgspec.structs.replace(route, role="candidate", weight=weight)


def leak(bytes_a_call: int) -> None:
    """Let the native code of every model lose memory whenever it scores."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    score = ScoringSession.score

    def leaking(session: ScoringSession, numbers: Any, categories: Any) -> Any:
        ctypes.memset(libc.malloc(bytes_a_call), 1, bytes_a_call)
        return score(session, numbers, categories)

    ScoringSession.score = leaking


def main() -> None:
    folder, index, port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if (folder / "leak").exists():
        leak(int((folder / "leak").read_text()))
    rig = Rig(folder)
    settings = ServingSettings(port=port)
    path = folder / "settings.json"
    if path.exists():
        settings = msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=ServingSettings), port=port)
    predictions: Any
    if rig.recorder.is_dir():
        chosen = RecorderSettings(commit_ms=2)
        predictions = Writer(rig.recorder, f"worker-{index}", clock=SystemClock(), settings=chosen)
    else:
        predictions = FileSink(folder / f"predictions-{index}-{os.getpid()}.hex")
    context = rig.context(
        index,
        settings,
        predictions=predictions,
        events=FileSink(folder / f"events-{index}-{os.getpid()}.hex"),
        request_decoders=rows.RequestDecoder,
        event_decoders=rows.EventDecoder,
        lifeline=0,
    )
    run_worker(context)
