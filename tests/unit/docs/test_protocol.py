"""The support tables are those of the code."""

import re
from pathlib import Path

import pytest

from seakeep.serving.exchange import COMPRESSED_BYTES
from seakeep.serving.routes import OPERATIONS
from seakeep.serving.tensors import DTYPES, OUTPUTS

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "protocol.md").read_text("utf-8")


def table(head):
    """The rows of the table whose first column has that head; cells without their backticks."""
    lines = TEXT[TEXT.index(f"\n| {head} |") :].split("\n\n")[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def codes(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_every_route_is_in_the_table_with_what_it_needs():
    told = {codes(http)[0]: codes(action) for http, _, action, _ in table("HTTP") if codes(http)}
    assert told == {
        f"{'POST' if one.posts else 'GET'} {one.path}": [one.action] if one.action else [] for one in OPERATIONS
    }


def test_every_call_is_in_the_table():
    pytest.importorskip("grpc", reason="gRPC is not installed")
    from seakeep.serving.grpc.service import InferenceService
    from seakeep.serving.grpc.stream import PIPELINED

    told = {name for _, grpc, *_ in table("HTTP") for name in codes(grpc)}
    methods = InferenceService(None, authenticator=None, meters=None).methods
    assert {f"/inference.GRPCInferenceService/{name}" for name in told} == set(methods)
    assert f"up to {PIPELINED} requests" in TEXT


def test_every_datatype_is_in_the_table():
    rows = table("datatype")
    assert {codes(row[0])[0] for row in rows} == {*DTYPES, "BYTES"}
    assert all(f"`{name}`, `{datatype}`" in TEXT for name, datatype in OUTPUTS.items())


def test_every_typed_content_is_in_the_table():
    pytest.importorskip("grpc", reason="gRPC is not installed")
    from seakeep.serving.grpc.inference import CONTENTS

    assert {codes(row[0])[0]: codes(row[4])[0] for row in table("datatype") if codes(row[4])} == CONTENTS


def test_every_status_has_its_code():
    pytest.importorskip("grpc", reason="gRPC is not installed")
    from seakeep.serving.errors import STATUS, RequestError
    from seakeep.serving.grpc.status import code_of

    rows = [row for row in re.findall(r"^\| (\d+) \| `(\w+)` \|", TEXT, re.MULTILINE)]  # noqa: C416
    assert {int(status) for status, _ in rows} >= {status for _, status in STATUS}
    for status, code in rows:
        assert code_of(RequestError(int(status), "x")).name == code


def test_the_size_from_which_answers_are_compressed_is_told():
    assert f"Answers of {COMPRESSED_BYTES // 1024} KiB and more" in TEXT


def test_the_bounds_of_http2_are_told():
    pytest.importorskip("hpack", reason="gRPC is not installed")
    from seakeep.serving.exchange import Limits
    from seakeep.serving.grpc.connection import ANSWER_S, KEEPALIVE_S
    from seakeep.serving.grpc.server import IDLE_S
    from seakeep.serving.grpc.session import (
        ALLOWANCE,
        BLOCK_FRAMES,
        CONNECTION_BYTES,
        REFILL,
        RESET_COST,
        STREAM_BYTES,
        STREAMS,
    )
    from seakeep.serving.http import SWEEP_S

    told = {what: bound for what, bound, _ in table("what a client may take up")}
    limits, mib, each_s = Limits(body_bytes=1), 2**20, int(REFILL / SWEEP_S)
    assert told == {
        "calls at once on one connection": f"{STREAMS}",
        "calls at once on one worker": "`max_in_flight`",
        "connections": f"{limits.connections}",
        "a message, as sent and as decompressed": "`max_body_bytes`",
        "messages and answers of all in memory": f"{limits.buffered_bytes // mib} MiB",
        "sent ahead: on a stream, on a connection": f"{STREAM_BYTES // mib} MiB, {CONNECTION_BYTES // mib} MiB",
        "headers of a call": f"{limits.header_bytes // 1024} KiB, {limits.header_count} fields, {BLOCK_FRAMES} frames",
        "frames that ask for nothing (PING, SETTINGS, empty DATA)": f"{ALLOWANCE:,} at once, {each_s:,} a second",
        "calls that are reset, by whichever side": f"{ALLOWANCE // RESET_COST:,} at once, {each_s // RESET_COST} a second",
        "time to begin, and for the rest of a frame": f"{limits.header_s:.0f} s, {limits.body_s:.0f} s",
        "time for a message from its first byte": f"{limits.body_s:.0f} s",
        "time to make room for an answer": f"{limits.write_s:.0f} s",
        "silence with calls open": f"{KEEPALIVE_S:.0f} s, then a PING",
        "silence without calls": f"{IDLE_S:.0f} s",
    }
    assert f"closed if it is not answered in {ANSWER_S:.0f} s" in TEXT
