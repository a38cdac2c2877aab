"""gRPC side by side: ours with everything on, beside plain handlers on grpcio's two servers, all serving one model.

``scripts/bench grpc`` trains and promotes the example's model, has each server answer the same ``ModelInfer`` of one row with
raw tensors, and writes ``benchmarks/results/grpc.json``. The peers read the message, run the model and answer, and do
nothing else; ours also looks at keys, counts, and records each prediction. A server and all its threads have one core, the
load (``h2load``, Debian: ``apt-get install nghttp2-client``) the other. Servers are measured in turn, round after round;
figures are medians. Requests/s need a machine that nobody else uses; the processor time of a request does not. ``--quick`` measures for seconds and writes nothing; ``--serve KIND FOLDER PORT`` is how a peer runs.
"""

import contextlib
import datetime as dt
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != HERE]  # else this file is `import grpc`

import numpy as np  # noqa: E402 -- what follows must find the library

ROOT = HERE.parent
RESULTS = HERE / "results" / "grpc.json"
MODEL = "late-arrival"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
SERVER, CLIENT = 0, 1
LOADS = {"1 connection": (1, 1), "16 connections": (16, 1), "8 connections of 8 calls": (8, 8)}
OURS, AIO, SYNC = "Seakeep", "grpcio aio", "grpcio sync, 4 threads"
GOAL = 3.0
"""Times what grpcio's own asyncio server does, for the same processor time; the limits are of the ratio."""


def make(folder):
    """The example's project, with a promoted model."""
    shutil.copytree(ROOT / "examples" / "flights", folder, ignore=shutil.ignore_patterns(".seakeep", "__pycache__"))
    for words in (
        ["train", "--as-of", "2013-06-01", "--validate-from", "2013-05-01"],
        ["convert"],
        ["promote", f"{MODEL}:1", "--override", "a benchmark"],
    ):
        subprocess.run([sys.executable, "-m", "seakeep", *words], cwd=folder, check=True, capture_output=True)


def opened(folder):
    """The promoted bundle."""
    from seakeep.project import open_project

    project = open_project(folder)
    return project.bundle(project.resolve(MODEL))


def question(bundle):
    """The message that everybody is asked."""
    from seakeep.serving.grpc.messages import ModelInferRequest

    made = ModelInferRequest(model_name=MODEL)
    for column in bundle.definition.columns:
        number = column.kind == "number"
        made.inputs.add(name=column.name, datatype="FP64" if number else "BYTES", shape=[1])
        made.raw_input_contents.append(np.array([7.5]).tobytes() if number else b"\x02\x00\x00\x00AA")
    return made.SerializeToString()


# Peers


def serve(kind, folder, port):
    """Serve the model by a plain handler until killed."""
    import grpc
    import onnxruntime

    from seakeep.serving.grpc.messages import ModelInferRequest, ModelInferResponse

    bundle = opened(folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(bundle.model, options)
    inputs = {one.name for one in session.get_inputs()}
    numbers = [column.name for column in bundle.definition.columns if column.kind == "number"]
    categories = [column.name for column in bundle.definition.columns if column.kind == "category"]

    def answer(request):
        raw = {tensor.name: content for tensor, content in zip(request.inputs, request.raw_input_contents, strict=True)}
        feeds = {
            "numbers": np.frombuffer(b"".join([raw[name] for name in numbers])).reshape(1, -1),
            "categories": np.array([[raw[name][4:].decode() for name in categories]], dtype=object),
        }
        (score,) = session.run(["score"], {name: feeds[name] for name in inputs})
        made = ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
        for name, datatype, values in (("score", "FP64", score), ("decision", "BOOL", score >= bundle.threshold)):
            made.outputs.add(name=name, datatype=datatype, shape=[1])
            made.raw_output_contents.append(values.tobytes())
        return made

    def handler(act):
        how = {
            "request_deserializer": ModelInferRequest.FromString,
            "response_serializer": ModelInferResponse.SerializeToString,
        }
        service, name = METHOD[1:].split("/")
        return grpc.method_handlers_generic_handler(service, {name: grpc.unary_unary_rpc_method_handler(act, **how)})

    if kind == SYNC:
        from concurrent.futures import ThreadPoolExecutor

        server = grpc.server(ThreadPoolExecutor(4), handlers=[handler(lambda request, _: answer(request))])
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        server.wait_for_termination()
        return

    import asyncio

    async def infer(request, _):
        return answer(request)

    async def whole():
        server = grpc.aio.server(handlers=[handler(infer)])
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()

    asyncio.run(whole())


# Measuring


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def running(name, folder, body):
    """A server on one core that answers; tells its process and port."""
    port = free_port()
    command = [sys.executable, str(HERE / "grpc.py"), "--serve", name, str(folder), str(port)]
    environment = dict(os.environ)
    if name == OURS:
        command = [sys.executable, "-P", "-m", "seakeep.project.worker", str(folder), "0", str(free_port())]
        environment["SEAKEEP_SERVING__GRPC_PORT"] = str(port)
    process = subprocess.Popen(["taskset", "-c", str(SERVER), *command], stdin=subprocess.PIPE, env=environment)
    try:
        score = asked(port, body)
        yield process.pid, port, score
    finally:
        process.terminate()
        process.wait(30)


def asked(port, body):
    """The score a server answers, once it does."""
    import grpc

    from seakeep.serving.grpc.messages import ModelInferResponse

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(METHOD)
        told = ModelInferResponse.FromString(call(body, wait_for_ready=True, timeout=60))
    return np.frombuffer(told.raw_output_contents[0]).item()


def load(pid, port, body, shape, requests):
    """Requests/s, and the server's processor time for each, in microseconds."""
    connections, calls = shape
    ticks = cpu_ticks(pid)
    done = subprocess.run(
        [
            *("taskset", "-c", str(CLIENT), "h2load", "-n", str(requests), "-c", str(connections), "-m", str(calls)),
            *(
                "-d",
                body,
                "-H",
                "content-type: application/grpc",
                "-H",
                "te: trailers",
                f"http://127.0.0.1:{port}{METHOD}",
            ),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    ticks = cpu_ticks(pid) - ticks
    assert f"{requests} succeeded" in done.stdout, done.stdout
    rate = float(re.search(r"([\d.]+) req/s", done.stdout)[1])
    return rate, ticks / os.sysconf("SC_CLK_TCK") / requests * 1e6


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def measure(folder, *, rounds, requests):
    """By server and load: requests/s and processor time of each round."""
    bundle = opened(folder)
    body = question(bundle)
    envelope = folder / "question"
    envelope.write_bytes(b"\x00" + len(body).to_bytes(4) + body)
    found = {name: {load_: [] for load_ in LOADS} for name in (OURS, AIO, SYNC)}
    scores = set()
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(running(name, folder, body)) for name in found}
        for turn in range(-1, rounds):
            for name, (pid, port, score) in servers.items():
                scores.add(score)
                for how, shape in LOADS.items():
                    told = load(pid, port, str(envelope), shape, requests if turn >= 0 else requests // 10)
                    if turn >= 0:
                        found[name][how].append(told)
                        print(
                            f"round {turn + 1}: {name}, {how}: {told[0]:.0f} requests/s, {told[1]:.0f} us",
                            file=sys.stderr,
                        )
    assert len(scores) == 1, scores
    return found


def rows(found):
    """The figures, ours beside the peers'."""
    from seakeep.clock import SystemClock

    packages = ("grpcio", "hpack", "numpy", "onnxruntime", "protobuf", "uvloop")
    for which, unit in enumerate(("requests/s", "us of processor time a request")):
        for how in LOADS:
            told = {name: round(statistics.median(one[which] for one in by[how]), 1) for name, by in found.items()}
            ratios = [a[which] / b[which] for a, b in zip(found[OURS][how], found[AIO][how], strict=True)]
            yield {
                "figure": f"ModelInfer of one row, {how}",
                "unit": unit,
                "ours": told.pop(OURS),
                "peers": told,
                "ratio_to_grpcio_aio": round(statistics.median(ratios), 3),
                "limit": (GOAL, round(1 / GOAL, 3))[which] if how.startswith("8") else None,
                "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
                "versions": {
                    "python": platform.python_version(),
                    **{name: metadata.version(name) for name in packages},
                },
                "date": dt.datetime.fromtimestamp(SystemClock().now_us() / 1e6, dt.UTC).date().isoformat(),
            }


def main(arguments):
    """Measure, print the table, and write the results."""
    if not shutil.which("h2load"):
        sys.exit("error: the load is made by h2load, which is not installed\nhint: apt-get install nghttp2-client")
    quick = "--quick" in arguments
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "flights"
        make(folder)
        told = list(rows(measure(folder, rounds=1 if quick else 5, requests=2000 if quick else 6000)))
    for one in told:
        peers = ", ".join(f"{name} {value:,.0f}" for name, value in one["peers"].items())
        print(
            f"{one['figure']:45} {one['ours']:10,.0f} {one['unit']:30} {peers}; {one['ratio_to_grpcio_aio']} of aio's"
        )
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    if not quick:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(sys.argv[1:])
