"""The protocol's calls over gRPC; each finds what is asked, and turns the answer or the error into what gRPC says.

How a call travels is not known here: a transport admits it, asks, and is told at the :class:`Place` of the answer.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from seakeep.errors import SeakeepError, UnavailableError
from seakeep.serving.errors import InternalError, RequestError
from seakeep.serving.grpc import inference, messages
from seakeep.serving.grpc.fields import LARGE_BYTES, check_fields
from seakeep.serving.grpc.status import details_of
from seakeep.serving.inference import Call
from seakeep.serving.loaded import LoadedVersion
from seakeep.serving.metrics import Meters
from seakeep.serving.observer import Observer
from seakeep.serving.open_inference import OpenInference, model_name, version_number
from seakeep.serving.ports import Authenticator
from seakeep.serving.tensors import InferRequest

_log = logging.getLogger("seakeep.serving")


class Place(Protocol):
    """Where the answer to one message belongs; one of the two methods is called, once.

    Attributes
    ----------
    principal
        As :meth:`InferenceService.admit` told.
    deadline_s
        ``time.perf_counter()`` after which nobody waits for the answer; None: there is none.
    traceparent
        The metadata of that name; ``b""``: none.
    """

    principal: str
    deadline_s: float | None
    traceparent: bytes

    def answer(self, message: bytes) -> None:
        """Send the answer."""
        ...

    def fail(self, error: SeakeepError) -> None:
        """Tell the error."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Method:
    """A call of the protocol.

    Attributes
    ----------
    asked
        Name of the message that asks.
    read
        Reads it.
    act
        Takes the message and its place; the message it returns is the answer, None: it comes later.
    guarded
        Whether a key is needed.
    streaming
        Whether messages go both ways in any number, each answered in its turn.
    """

    asked: str
    read: Callable[[bytes], Any]
    act: Callable[[Any, Place], Any]
    guarded: bool = True
    streaming: bool = False


class InferenceService:
    """Answers the protocol's calls.

    Parameters
    ----------
    protocol
        Means what the requests mean.
    authenticator
        Reads the ``authorization`` metadata as HTTP's header of that name.
    meters
        Counts what was refused.
    observer
        Is told of requests; None: nobody is.

    Attributes
    ----------
    methods
        By path.
    """

    def __init__(
        self,
        protocol: OpenInference,
        *,
        authenticator: Authenticator,
        meters: Meters,
        observer: Observer | None = None,
    ) -> None:
        self._protocol, self._authenticator, self._meters = protocol, authenticator, meters
        self._observer = observer
        infer = messages.UnreadInferRequest.FromString
        methods = {
            "ServerLive": _plain("ServerLiveRequest", self._server_live, guarded=False),
            "ServerReady": _plain("ServerReadyRequest", self._server_ready, guarded=False),
            "ServerMetadata": _plain("ServerMetadataRequest", self._server_metadata),
            "ModelReady": _plain("ModelReadyRequest", self._model_ready),
            "ModelMetadata": _plain("ModelMetadataRequest", self._model_metadata),
            "ModelInfer": Method("ModelInferRequest", infer, self._infer),
            "ModelStreamInfer": Method("ModelInferRequest", infer, self._infer, streaming=True),
        }
        self.methods = {f"/{messages.SERVICE}/{name}": method for name, method in methods.items()}

    def admit(self, method: Method, keys: Sequence[bytes]) -> str:
        """The principal of a call with these values of ``authorization``, before any of its messages is read.

        Raises
        ------
        SeakeepError
            It may not be made.
        """
        if not method.guarded:
            return ""
        if len(keys) > 1:
            raise RequestError(400, "metadata 'authorization' is there twice")
        return self._authenticator.check(keys[0] if keys else b"", "predict")

    def ask(self, method: Method, body: bytes, place: Place) -> None:
        """Answer a message, now or later; an error is counted, and told at its place."""
        place = _Streamed(place) if method.streaming else place
        try:
            told = method.act(_decode(method, body), place)
        except Exception as error:  # noqa: BLE001 -- the request border
            place.fail(self.refused(error))
        else:
            if told is not None:
                place.answer(told.SerializeToString())

    def refused(self, error: Exception) -> SeakeepError:
        """What a client is told of an error, which is counted."""
        if isinstance(error, SeakeepError):
            fault = error
        else:
            _log.error("a call could not be answered", exc_info=error)
            fault = InternalError("a fault in the server")
        self._meters.server.failed(fault.code)
        if self._observer:
            self._observer.refused(fault)
        return fault

    # Calls

    def _server_live(self, _message: Any, _place: Place) -> Any:
        return messages.message("ServerLiveResponse")(live=True)

    def _server_ready(self, _message: Any, _place: Place) -> Any:
        return messages.message("ServerReadyResponse")(ready=self._protocol.readiness().ready)

    def _server_metadata(self, _message: Any, _place: Place) -> Any:
        server = self._protocol.server()
        return messages.ServerMetadataResponse(name=server.name, version=server.version, extensions=server.extensions)

    def _model_ready(self, message: Any, _place: Place) -> Any:
        try:
            self._protocol.version(*_named(message.name, message.version))
        except UnavailableError:
            return messages.message("ModelReadyResponse")(ready=False)
        return messages.message("ModelReadyResponse")(ready=True)

    def _model_metadata(self, message: Any, _place: Place) -> Any:
        model = self._protocol.model(*_named(message.name, message.version))
        told = messages.ModelMetadataResponse(name=model.name, versions=model.versions, platform=model.platform)
        for place, tensors in ((told.inputs, model.inputs), (told.outputs, model.outputs)):
            for tensor in tensors:
                place.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        return told

    def _infer(self, message: Any, place: Place) -> None:
        arrived_s = time.perf_counter()
        if isinstance(place, _Streamed):
            place.id = message.id
        chosen = self._protocol.choose(*_named(message.model_name, message.model_version))
        request = inference.read_infer(message, chosen[0], self._protocol.max_rows)
        self._protocol.submit(
            request,
            chosen,
            functools.partial(self._settle, place, request, chosen[0]),
            principal=place.principal,
            arrived_s=arrived_s,
            deadline_s=place.deadline_s,
            trace=self._observer.begin(place.traceparent) if self._observer else None,
        )

    def _settle(self, place: Place, request: InferRequest, version: LoadedVersion, call: Call) -> None:
        """Hand on what became of a call; the data plane has counted its error already."""
        if call.error:
            place.fail(call.error)
            return
        try:
            told = bytes(inference.answer(request, version, call.answers).SerializeToString())
        except Exception as error:  # noqa: BLE001 -- the request border
            place.fail(self.refused(error))
        else:
            place.answer(told)


class _Streamed:
    """A place in a stream: its answer, or its error, becomes a message of the stream."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.principal, self.deadline_s, self.traceparent = place.principal, place.deadline_s, place.traceparent
        self.id = ""

    def answer(self, message: bytes) -> None:
        told = messages.ModelStreamInferResponse()
        told.infer_response.MergeFromString(message)
        self._place.answer(told.SerializeToString())

    def fail(self, error: SeakeepError) -> None:
        told = messages.ModelStreamInferResponse(error_message=details_of(error))
        told.infer_response.id = self.id
        self._place.answer(told.SerializeToString())


def _plain(asked: str, act: Callable[[Any, Place], Any], *, guarded: bool = True) -> Method:
    return Method(asked, messages.message(asked).FromString, act, guarded=guarded)


def _decode(method: Method, body: bytes) -> Any:
    if len(body) > LARGE_BYTES:
        check_fields(body)
    try:
        return method.read(body)
    except DecodeError as error:
        raise RequestError(400, f"the message is no {method.asked}") from error


def _named(model: str, version: str) -> tuple[str, int]:
    return model_name(model), version_number(version) if version else 0
