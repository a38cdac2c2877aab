"""Clients that send each request once and keep what came of it, and the account that must come out even afterwards.

Every request sent has one outcome: answered by one named version, refused with a status, or lost with its connection.
Every number that a recorder handed out is a record or counted in a gap, and every answer is one of those records.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.serving_runs import PREDICT, body, request, row, statuses

from seakeep.recorder.ledger import Ledger
from seakeep.recorder.reader import scan
from seakeep.records.prediction import Gap, Prediction


class Told(NamedTuple):
    """An answer: the prediction's id, and the version that is said to have made it."""

    id: str
    version: int


class Asker:
    """One client of HTTP with one connection at a time, that never sends a request twice.

    A connection that the kernel makes for a socket that is just closing is reset without anybody having seen it, so
    requests on connections that were never served are kept apart.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self.answered: dict[str, Told] = {}
        self.refused: dict[str, Any] = {}
        self.lost: list[str] = []
        self.lost_fresh: list[str] = []
        self.unreachable = self.asked = self.served = 0
        self.reader, self.writer = None, None

    @property
    def local_port(self) -> int:
        return self.writer.get_extra_info("sockname")[1] if self.writer else 0

    async def connect(self) -> bool:
        try:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            self.unreachable += 1
            return False
        self.served = 0
        return True

    async def leave(self) -> None:
        if self.writer:
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()
        self.writer = None

    async def ask(self, distance: float = 500.0) -> None:
        """One request on the connection that is there."""
        self.asked += 1
        key = f"{self.name}-{self.asked}"
        try:
            self.writer.write(request(PREDICT, body(row(key, distance))))
            head = await self.reader.readuntil(b"\r\n\r\n")
            size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            answer = await self.reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError):
            (self.lost if self.served else self.lost_fresh).append(key)
            await self.leave()
            return
        self.served += 1
        (status,) = statuses(head)
        if status == 200:
            (one,) = json.loads(answer)["predictions"]
            assert one["key"] == key
            self.answered[key] = Told(one["id"], one["version"])
        else:
            self.refused[key] = status
        if b"connection: close" in head:
            await self.leave()

    async def go_on(self, over: asyncio.Event) -> None:
        while not over.is_set():
            if self.writer or await self.connect():
                await self.ask()
            else:
                await asyncio.sleep(0.01)
        await self.leave()


class GrpcAsker:
    """One client of gRPC, that never makes a call twice; a call that the server did not take up is refused."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self.answered: dict[str, Told] = {}
        self.refused: dict[str, Any] = {}
        self.lost: list[str] = []
        self.lost_fresh: list[str] = []
        self.asked = 0

    async def go_on(self, over: asyncio.Event) -> None:
        """Call one after another until it is over, or the server takes no more up."""
        import grpc

        from seakeep.serving.grpc.messages import SERVICE, ModelInferResponse

        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options) as channel:
            call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            while not over.is_set():
                self.asked += 1
                key = f"{self.name}-{self.asked}"
                try:
                    answer = ModelInferResponse.FromString(await call(infer_message(), timeout=20))
                except grpc.aio.AioRpcError as error:
                    self.refused[key] = error.code().name
                    await asyncio.sleep(0.01)
                    continue
                told = answer.parameters["prediction_ids"].string_param
                self.answered[key] = Told(told, int(answer.model_version))


def infer_message(distance: float = 500.0, **more: Any) -> bytes:
    """A request for one prediction of the rig's model, as gRPC carries it."""
    from seakeep.serving.grpc.messages import ModelInferRequest

    made = ModelInferRequest(model_name="late", **more)
    for name, field, datatype, value in (
        ("carrier_recent.late_1h", "fp64_contents", "FP64", 1.5),
        ("distance", "fp64_contents", "FP64", distance),
        ("carrier", "bytes_contents", "BYTES", b"AA"),
    ):
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[1])
        getattr(tensor.contents, field).append(value)
    return bytes(made.SerializeToString())


class Account(NamedTuple):
    """How many requests had each outcome, how many predictions were recorded, and how many answers only counted in a gap."""

    answered: int
    refused: int
    lost: int
    recorded: int
    missing: int


def settle(askers: Sequence[Any], predictions: Path) -> Account:
    """Hold what clients were told against what the recorder kept; every worker must have ended in order, or been settled.

    Raises
    ------
    AssertionError
        A request has no outcome or two, or an answer is recorded twice, under another version, or neither recorded nor
        counted.
    """
    for one in askers:
        outcomes = [*one.answered, *one.refused, *one.lost, *one.lost_fresh]
        assert len(set(outcomes)) == len(outcomes) == one.asked, one.name
    found = list(scan(predictions))
    records = {record.id: record for record in found if isinstance(record, Prediction)}
    gaps = sum(gap.count for gap in found if isinstance(gap, Gap))
    assert len(records) == sum(isinstance(record, Prediction) for record in found)
    handed_out = 0
    for path in predictions.glob("*.ledger"):
        ledger = Ledger(predictions, path.stem)
        handed_out += ledger.sequence
        ledger.close()
    assert len(records) + gaps == handed_out > 0

    told = [(key, one) for asker in askers for key, one in asker.answered.items()]
    assert len({one.id for _, one in told}) == len(told)
    missing = 0
    for key, one in told:
        record = records.get(one.id)
        if record is None:
            missing += 1
        else:
            assert (record.version, record.error) == (one.version, "")
            assert record.key in {key, ""}
    assert missing <= gaps
    keys = collections.Counter(record.key for record in records.values() if record.key and record.role != "shadow")
    assert set(keys.values()) <= {1}
    return Account(
        len(told),
        sum(len(one.refused) for one in askers),
        sum(len(one.lost) + len(one.lost_fresh) for one in askers),
        len(records),
        missing,
    )
