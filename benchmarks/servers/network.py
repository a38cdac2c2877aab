"""A network of 1.6 million parameters in the place of the trees: what batches are for. ``network.py MODEL`` times it raw."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

WIDTHS = (1024, 1024, 512)


def model(inputs, seed=0):
    """ONNX bytes of a multi-layer perceptron of float32, with random weights: the work is that of a trained one."""
    from onnx import TensorProto, helper, numpy_helper

    chance = np.random.default_rng(seed)
    nodes = [helper.make_node("Cast", ["numbers"], ["scaled"], to=TensorProto.FLOAT)]
    weights = [numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")]
    last, values = inputs, "scaled"
    for place, width in enumerate((*WIDTHS, 1)):
        matrix = (chance.normal(size=(last, width)) / np.sqrt(last * 100)).astype(np.float32)
        weights += [
            numpy_helper.from_array(matrix, f"w{place}"),
            numpy_helper.from_array(np.zeros(width, dtype=np.float32), f"b{place}"),
        ]
        nodes.append(helper.make_node("Gemm", [values, f"w{place}", f"b{place}"], [f"sum{place}"]))
        values = f"sum{place}"
        if width > 1:
            nodes.append(helper.make_node("Relu", [values], [f"out{place}"]))
            values = f"out{place}"
        last = width
    nodes += [
        helper.make_node("Sigmoid", [values], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["single"]),
        helper.make_node("Cast", ["single"], ["score"], to=TensorProto.DOUBLE),
    ]
    taken = helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["n", inputs])
    given = helper.make_tensor_value_info("score", TensorProto.DOUBLE, ["n"])
    graph = helper.make_graph(nodes, "network", [taken], [given], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString()


def subject_of(subject, folder):
    """The subject with the network in force, in a project of its own under ``folder``."""
    import msgspec

    from seakeep.conversion.session import ScoringSession
    from seakeep.project import open_project
    from seakeep.records.version import Version

    project = folder / "network" / "project"
    shutil.copytree(subject.project, project)
    content = model(len(subject.names))
    opened = open_project(project)
    trees = opened.bundle(opened.resolve("late-arrival:1"))
    run = msgspec.structs.replace(trees.run, id="r-000000000002")
    opened.stores.runs.add(run, actor="bench")
    # The proof of the trees under another name: no network can be converted yet, and none is needed to serve one.
    proof = msgspec.structs.replace(trees.proof, model_sha256=hashlib.sha256(content).hexdigest())
    digest = opened.stores.bundles.put(run, content, proof, created_us=run.started_us)
    version = Version(
        model="late-arrival",
        number=0,
        bundle=digest,
        run=run.id,
        created_us=run.started_us,
        author="bench",
        threshold=run.threshold,
    )
    opened.stores.versions.add(version, actor="bench", now_us=run.started_us)
    words = ["promote", "late-arrival:2", "--now", "--override", "a benchmark"]
    subprocess.run([sys.executable, "-m", "seakeep", *words], cwd=project, check=True, capture_output=True)
    onnx = folder / "network" / "model.onnx"
    onnx.write_bytes(content)
    inputs = np.array(subject.inputs)
    scores = ScoringSession(content).score(inputs, np.empty((len(inputs), 0), dtype=object)).tolist()
    return replace(subject, project=project, onnx=onnx, scores=scores)


def raw_rows_s(onnx, cores):
    """Rows/s of the engine alone at its best size of batch."""
    done = subprocess.run(
        [sys.executable, __file__, str(onnx)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return json.loads(done.stdout)


def main():
    from seakeep.conversion.session import ScoringSession

    session = ScoringSession(Path(sys.argv[1]).read_bytes())
    numbers = np.random.default_rng(0).normal(size=(256, 15))
    none = np.empty((256, 0), dtype=object)
    best = {}
    for rows in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        times = []
        until = time.perf_counter() + 0.3
        while time.perf_counter() < until:
            began = time.perf_counter()
            session.score(numbers[:rows], none[:rows])
            times.append(time.perf_counter() - began)
        best[rows] = rows / float(np.median(times))
    json.dump({"one": best[1], "best": max(best.values()), "rows": max(best, key=best.get)}, sys.stdout)


if __name__ == "__main__":
    main()
