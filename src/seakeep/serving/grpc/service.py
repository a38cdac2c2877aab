"""The protocol's calls over gRPC; each finds what is asked, and turns the answer or the error into what gRPC says."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from seakeep.errors import SeakeepError, UnavailableError
from seakeep.serving.errors import InternalError, RequestError
from seakeep.serving.grpc import inference, messages
from seakeep.serving.grpc.fields import LARGE_BYTES, check_fields
from seakeep.serving.grpc.status import code_of, details_of, metadata_of
from seakeep.serving.inference import Call
from seakeep.serving.metrics import Meters
from seakeep.serving.observer import Observer
from seakeep.serving.open_inference import OpenInference, model_name, version_number
from seakeep.serving.ports import Authenticator

PIPELINED = 32
"""Requests of one stream that are on their way at once."""

_log = logging.getLogger("seakeep.serving")
_Context = Any  # grpc.aio's ServicerContext; the package ships no types
_Act = Callable[[Any, str, _Context], Awaitable[Any]]


class _Counted(Exception):
    """An error that the data plane has counted already."""

    def __init__(self, error: SeakeepError) -> None:
        super().__init__(error.message)
        self.error = error


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
        self._readers: set[asyncio.Task[None]] = set()

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server needs to serve it. Bodies stay bytes here, so that a key is checked before a body is read."""
        unary = {
            "ServerLive": (self._server_live, False),
            "ServerReady": (self._server_ready, False),
            "ServerMetadata": (self._server_metadata, True),
            "ModelReady": (self._model_ready, True),
            "ModelMetadata": (self._model_metadata, True),
            "ModelInfer": (self._infer, True),
        }
        methods = {
            name: grpc.unary_unary_rpc_method_handler(functools.partial(self._unary, name, act, guarded=guarded))
            for name, (act, guarded) in unary.items()
        }
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.method_handlers_generic_handler(messages.SERVICE, methods)

    def end_streams(self) -> None:
        """Read no more from streams; what was read is still answered."""
        for reader in self._readers:
            reader.cancel()

    async def _unary(self, name: str, act: _Act, body: bytes, context: _Context, *, guarded: bool) -> bytes:
        try:
            principal = self._principal(context) if guarded else ""
            answer = await act(_decode(f"{name}Request", body), principal, context)
            return bytes(answer.SerializeToString())
        except Exception as error:  # noqa: BLE001 -- the request border
            fault = self._fault(error)
        await context.abort(code_of(fault), details_of(fault), metadata_of(fault))
        return b""

    async def _stream(self, bodies: AsyncIterator[bytes], context: _Context) -> AsyncIterator[bytes]:
        """Answers in the order of the requests; one that fails is told in its place, and the stream goes on."""
        try:
            principal = self._principal(context)
        except SeakeepError as error:
            fault = self._fault(error)
            await context.abort(code_of(fault), details_of(fault), metadata_of(fault))
            return
        answers: asyncio.Queue[asyncio.Future[bytes] | None] = asyncio.Queue()
        room = asyncio.Semaphore(PIPELINED)
        reader = asyncio.create_task(self._read(bodies, principal, context, answers, room))
        self._readers.add(reader)
        reader.add_done_callback(self._ended)
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
                room.release()
        finally:
            reader.cancel()
        if self._protocol.draining:
            ending = UnavailableError("the worker is shutting down", hint="open the stream again")
            await context.abort(code_of(ending), details_of(ending), metadata_of(ending))

    async def _read(
        self,
        bodies: AsyncIterator[bytes],
        principal: str,
        context: _Context,
        answers: asyncio.Queue[asyncio.Future[bytes] | None],
        room: asyncio.Semaphore,
    ) -> None:
        try:
            await room.acquire()
            async for body in bodies:
                answers.put_nowait(asyncio.ensure_future(self._streamed(body, principal, context)))
                await room.acquire()
        finally:
            answers.put_nowait(None)

    def _ended(self, reader: asyncio.Task[None]) -> None:
        self._readers.discard(reader)
        if not reader.cancelled():
            reader.exception()  # the client has gone; there is nobody to tell

    async def _streamed(self, body: bytes, principal: str, context: _Context) -> bytes:
        told = messages.ModelStreamInferResponse()
        try:
            message = _decode("ModelInferRequest", body)
            told.infer_response.id = message.id
            told.infer_response.CopyFrom(await self._infer(message, principal, context))
        except Exception as error:  # noqa: BLE001 -- the request border
            told.error_message = details_of(self._fault(error))
        return bytes(told.SerializeToString())

    # Calls

    async def _server_live(self, _message: Any, _principal: str, _context: _Context) -> Any:
        return messages.message("ServerLiveResponse")(live=True)

    async def _server_ready(self, _message: Any, _principal: str, _context: _Context) -> Any:
        return messages.message("ServerReadyResponse")(ready=self._protocol.readiness().ready)

    async def _server_metadata(self, _message: Any, _principal: str, _context: _Context) -> Any:
        server = self._protocol.server()
        return messages.ServerMetadataResponse(name=server.name, version=server.version, extensions=server.extensions)

    async def _model_ready(self, message: Any, _principal: str, _context: _Context) -> Any:
        try:
            self._protocol.version(*_named(message.name, message.version))
        except UnavailableError:
            return messages.message("ModelReadyResponse")(ready=False)
        return messages.message("ModelReadyResponse")(ready=True)

    async def _model_metadata(self, message: Any, _principal: str, _context: _Context) -> Any:
        model = self._protocol.model(*_named(message.name, message.version))
        told = messages.ModelMetadataResponse(name=model.name, versions=model.versions, platform=model.platform)
        for place, tensors in ((told.inputs, model.inputs), (told.outputs, model.outputs)):
            for tensor in tensors:
                place.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        return told

    async def _infer(self, message: Any, principal: str, context: _Context) -> Any:
        arrived_s = time.perf_counter()
        remaining_s = context.time_remaining()
        chosen = self._protocol.choose(*_named(message.model_name, message.model_version))
        request = inference.read_infer(message, chosen[0], self._protocol.max_rows)
        waiting: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._protocol.submit(
            request,
            chosen,
            functools.partial(_settle, waiting),
            principal=principal,
            arrived_s=arrived_s,
            deadline_s=None if remaining_s is None else arrived_s + remaining_s,
            trace=self._observer.begin(_traceparent(context)) if self._observer else None,
        )
        call = await waiting
        if call.error:
            raise _Counted(call.error)
        return inference.answer(request, chosen[0], call.answers)

    # What is refused

    def _principal(self, context: _Context) -> str:
        given = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
        if len(given) > 1:
            raise RequestError(400, "metadata 'authorization' is there twice")
        sent = given[0] if given else b""
        return self._authenticator.check(sent.encode() if isinstance(sent, str) else sent, "predict")

    def _fault(self, error: Exception) -> SeakeepError:
        """What a client is told of an error, which is counted once."""
        if isinstance(error, _Counted):
            return error.error
        if isinstance(error, SeakeepError):
            fault = error
        else:
            _log.error("a call could not be answered", exc_info=error)
            fault = InternalError("a fault in the server")
        self._meters.server.failed(fault.code)
        if self._observer:
            self._observer.refused(fault)
        return fault


def _traceparent(context: _Context) -> bytes:
    given = [value for key, value in context.invocation_metadata() or () if key == "traceparent"]
    return given[0].encode() if len(given) == 1 and isinstance(given[0], str) else b""


def _settle(waiting: asyncio.Future[Call], call: Call) -> None:
    """Hand an answered call to whoever waits for it; a client that has gone does not."""
    if not waiting.done():
        waiting.set_result(call)


def _decode(name: str, body: bytes) -> Any:
    if len(body) > LARGE_BYTES:
        check_fields(body)
    try:
        return messages.message(name).FromString(body)
    except DecodeError as error:
        raise RequestError(400, f"the message is no {name}") from error


def _named(model: str, version: str) -> tuple[str, int]:
    return model_name(model), version_number(version) if version else 0
