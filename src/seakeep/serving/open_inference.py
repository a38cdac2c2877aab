"""What the Open Inference Protocol's requests mean, whatever the transport: names are versions, tensors are calls."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from seakeep.clock import Clock, Ids
from seakeep.config import ServingSettings
from seakeep.errors import NotFoundError
from seakeep.records.outputs import Outputs
from seakeep.records.prediction import Role
from seakeep.records.version import NAME
from seakeep.serving.dataplane import Dataplane
from seakeep.serving.deadline import sooner
from seakeep.serving.inference import Call, Inputs, Trace
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.loader import LoadFailure, Loading
from seakeep.serving.priority import NORMAL, Ranks, lowered
from seakeep.serving.tensors import KINDS, OUTPUTS, OUTPUTS_OF, PROBABILITIES, InferRequest


class ServerMetadata(msgspec.Struct, frozen=True):
    """What a server says of itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


class TensorMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output; -1 in a shape: any number of rows. ``labels`` name the columns of several numbers a row."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    labels: tuple[str, ...] = ()


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a client must know of a model to ask it."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class Live(msgspec.Struct, frozen=True):
    """The process answers."""

    live: bool


class Readiness(msgspec.Struct, frozen=True):
    """Whether a worker answers, with which versions, and what could not be loaded."""

    ready: bool
    draining: bool
    models: dict[str, list[int]]
    failed: tuple[LoadFailure, ...]


class ModelReady(msgspec.Struct, frozen=True):
    """The version that answers."""

    name: str
    version: str
    ready: bool


class OpenInference:
    """The protocol's meaning.

    Parameters
    ----------
    loading
        Tells what is loaded.
    max_rows
        Largest number of rows in one request.
    version
        Of the server, for its metadata.
    ranks
        The highest class of each key.

    Attributes
    ----------
    draining
        Whether the worker is about to end: it is not ready then.
    """

    def __init__(
        self,
        dataplane: Dataplane,
        *,
        loading: Callable[[], Loading],
        clock: Clock,
        ids: Ids,
        max_rows: int,
        version: str,
        ranks: Ranks | None = None,
    ) -> None:
        self._dataplane, self._clock, self._ids = dataplane, clock, ids
        self._loading = loading
        self.max_rows = max_rows
        self._version = version
        self.ranks = ranks or Ranks(ServingSettings())
        self.draining = False

    def readiness(self) -> Readiness:
        """What is loaded, and what is not."""
        loading = self._loading()
        ready = loading.ready and not self.draining
        return Readiness(ready, self.draining, loading.versions, loading.failures)

    def server(self) -> ServerMetadata:
        """The server's metadata."""
        return ServerMetadata("seakeep", self._version, ("binary_tensor_data",))

    def model(self, model: str, number: int) -> ModelMetadata:
        """The metadata of a version (0: the champion); raises as :meth:`version` does."""
        version = self.version(model, number)
        columns = version.definition.columns
        return ModelMetadata(
            name=version.model,
            versions=tuple(str(one.number) for one in self._dataplane.traffic_of(model).versions),
            platform="onnxruntime_onnx",
            inputs=tuple(TensorMetadata(column.name, KINDS[column.kind], (-1,)) for column in columns),
            outputs=tuple(_told(name, version.outputs) for name in OUTPUTS_OF[version.outputs.kind]),
        )

    def version(self, model: str, number: int) -> LoadedVersion:
        """A version that answers (0: the champion).

        Raises
        ------
        NotFoundError
            There is none.
        UnavailableError
            It is not loaded yet.
        """
        return self._dataplane.version_of(model, number) if number else self._dataplane.traffic_of(model).champion

    def choose(self, model: str, number: int) -> tuple[LoadedVersion, Role]:
        """The version for inputs without a row: the one asked for, or (0) any by its share; raises as :meth:`version`.

        An A/B test goes by rows: a client that brings the inputs is answered by the champion.
        """
        if number:
            return self._dataplane.version_of(model, number), "pinned"
        traffic = self._dataplane.traffic_of(model)
        if traffic.held:
            return traffic.champion, "champion"  # without a row nobody can be told apart from others, twice
        return traffic.choose(self._ids.new() if traffic.split else "")

    def submit(
        self,
        request: InferRequest,
        chosen: tuple[LoadedVersion, Role],
        reply: Callable[[Call], None],
        *,
        principal: str,
        arrived_s: float,
        deadline_s: float | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Have a request answered by the version it was read for; raises as :meth:`Dataplane.submit` does.

        Parameters
        ----------
        deadline_s
            What the transport says (``time.perf_counter()``); the request itself may name an earlier one.
        """
        most = self.ranks.most(principal)
        rank = lowered(max(NORMAL, most), request.priority, most)
        rows = len(request.numbers)
        version, role = chosen
        inputs = Inputs(
            numbers=request.numbers,
            categories=request.categories,
            keys=[""] * rows,
            times_us=[self._clock.now_us()] * rows,
            raw=[{}] * rows,
            view_times_us=[[]] * rows,
            unknown=[()] * rows,
        )
        self._dataplane.submit(
            Call(
                model=version.model,
                principal=principal,
                reply=reply,
                arrived_s=arrived_s,
                parsed_s=time.perf_counter(),
                deadline_s=sooner(deadline_s, request.timeout_us, arrived_s),
                rank=rank,
                trace=trace,
                direct=inputs,
                version=version,
                role=role,
            )
        )


def model_name(name: str) -> str:
    """A name that may be a model's.

    Raises
    ------
    NotFoundError
        None can have it.
    """
    if not NAME.fullmatch(name):
        raise NotFoundError("no model or source has such a name", hint="names are lower-case: a-z 0-9 . _ -")
    return name


def version_number(text: str) -> int:
    """The number of a version; raises as :func:`model_name` does."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not int(text):
        raise NotFoundError("no version has such a number", hint="versions are 1, 2, 3 …")
    return int(text)


def _told(name: str, outputs: Outputs) -> TensorMetadata:
    if name == PROBABILITIES:
        return TensorMetadata(name, OUTPUTS[name], (-1, len(outputs.names)), outputs.names)
    return TensorMetadata(name, OUTPUTS[name], (-1,))
