"""The zoo: every model converted, proved and timed beside its source.

``python benchmarks/zoo.py [WORD]`` makes each model of ``benchmarks/zoo`` (those whose name has WORD in it) of 100 trees
or rounds on 2,000 simulated rows, converts it, proves it on 2,000 others and at every boundary, and times one row and a
thousand rows on both sides in turn. ``--keep`` after WORD keeps the earlier results of the others. It prints a table, writes ``benchmarks/results/zoo.json`` and the table in
``docs/conversion.md``.
"""

import datetime as dt
import importlib
import json
import os
import platform
import re
import sys
import time
import warnings
from importlib import util
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "zoo.json"
DOCS = ROOT / "docs" / "conversion.md"
BEGIN, END = "<!-- made by benchmarks/zoo.py -->\n", "<!-- end -->\n"
EMITTERS, EMITTERS_END = "<!-- emitters -->\n", "<!-- end of emitters -->\n"
SIZE, ROWS = 100, 2_000
FAMILIES = {
    "scikit_learn": "scikit-learn",
    "xgboost_models": "xgboost",
    "lightgbm_models": "lightgbm",
    "catboost_models": "catboost",
    "torch_models": "torch",
    "keras_models": "keras",
}
PACKAGES = ("numpy", "onnxruntime", "scikit-learn", "xgboost", "xgboost-cpu", "lightgbm", "catboost", "torch", "keras")


def p50_us(call, runs):
    """Median duration of a call, microseconds."""
    durations = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        call()
        durations.append(time.perf_counter_ns() - start)
    return float(np.median(durations)) / 1_000


def timed(session, source, rows):
    """``(ours, source)`` for one row and for a thousand, a few calls of each in turn."""
    found = {}
    for count, runs in ((1, 60), (1000, 3)):
        part = rows.take(np.arange(count))
        sides = (session.score, source)
        took = [[], []]
        for _ in range(3):
            for side, score in enumerate(sides):
                calls = runs if side == 0 else max(3, runs // 10)
                took[side].append(p50_us(lambda s=score, rows=part: s(rows.numbers, rows.categories), calls))
        found[count] = tuple(float(np.median(one)) for one in took)
    return found


def natively(model, columns, rows, outputs):
    """A model kept as it is: figures of its proof and of its speed in a process of its own, or why it cannot be."""
    from seakeep.conversion.engine import open_session
    from seakeep.conversion.native import native_scorer
    from seakeep.conversion.nativeproof import packed_model, prove_native, steady
    from seakeep.conversion.packed import CodeFile, OwnCode
    from seakeep.errors import ConversionError

    files = {"zoo": "zoo/__init__.py", "zoo.own": "zoo/own.py"}
    own = OwnCode(
        {name: CodeFile(path, (ROOT / "benchmarks" / path).read_text("utf-8")) for name, path in files.items()}
    )
    own.imported = list(files)  # as the converter does, which imports the project from there
    steady(model)
    try:
        packed, proof = prove_native(
            model, packed_model(model, columns, outputs, own), rows, threshold=0.5, artefact_sha256=""
        )
    except ConversionError as error:
        return {"refused": error.message}
    if not proof.passed:
        return {"refused": f"the proof failed: {proof.worst.get('(kind)', '')}"}
    session = open_session(packed)
    try:
        times = timed(session, native_scorer(model, columns), rows)
    finally:
        session.close()
    probes = sum(proof.cases.get(kind, 0) for kind in ("missing", "unseen", "extremes"))
    return {
        "max_difference": proof.max_difference,
        "rows": {"random": proof.cases["validation"], "boundary": probes},
        "flips": proof.flips,
        "us": {str(count): {"ours": ours, "source": other} for count, (ours, other) in times.items()},
    }


def tried(entry, train, unseen):
    """What became of one model: figures of its proof and of its speed, or why it is served natively."""
    from seakeep.conversion.emit.model import emit
    from seakeep.conversion.native import native_scorer
    from seakeep.conversion.outputs import outputs_of
    from seakeep.conversion.parity import prove
    from seakeep.conversion.session import ScoringSession
    from seakeep.errors import ConversionError, TrainingError

    make, inputs, target = entry
    model = make(SIZE).fit(getattr(train, inputs), getattr(train, target))
    columns, rows = train.columns(inputs), unseen.rows(inputs)
    told = {"outputs": "none"}
    try:
        told["outputs"] = outputs_of(model).kind
        source = native_scorer(model, columns)
        emission = emit(model, columns)
        proof = prove(source, emission, rows, threshold=0.5, artefact_sha256="")
    except ConversionError as error:
        return told | {"path": "native", "reason": error.message} | natively(model, columns, rows, outputs_of(model))
    except TrainingError as error:  # a network that is no one graph cannot even be stored
        return told | {"path": "refused", "reason": error.message}
    at = sum(proof.cases.get(kind, 0) for kind in ("boundaries", "categories", "missing", "unseen", "extremes"))
    told |= {
        "path": "ONNX" if proof.passed else "native",
        "outputs": emission.outputs.kind,
        "max_difference": proof.max_difference,
        "rows": {"random": proof.cases["validation"], "boundary": at},
        "flips": proof.flips,
        "near_ties": proof.near_ties,
    }
    if not proof.passed:
        return told | {"reason": f"the proof failed: {proof.worst.get('(kind)', '')}"}
    times = timed(ScoringSession(emission.model), source, rows)
    return told | {"us": {str(count): {"ours": ours, "source": other} for count, (ours, other) in times.items()}}


def line(name, family, told):
    """One entry of the results."""
    from seakeep.clock import SystemClock
    from seakeep.training.environment import installed

    one = told.get("us", {}).get("1")
    versions = {name: version for name, version in installed(PACKAGES).items() if version}
    return {
        "figure": name,
        "unit": "us",
        "ours": one and round(one["ours"], 1),
        "peers": {family: one and round(one["source"], 1)},
        "ratio_to_best_peer": one and round(one["ours"] / one["source"], 5),
        "limit": None,
        **told,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": versions,
        "date": dt.datetime.fromtimestamp(SystemClock().now_us() / 1e6, dt.UTC).date().isoformat(),
    }


def table(lines):
    """The results as a table for people."""
    converted = [one for one in lines if one["path"] == "ONNX"]
    rows = sum(sum(one["rows"].values()) for one in converted)
    flips = sum(one["flips"] for one in converted)
    faster = sum(one["us"]["1000"]["ours"] <= one["us"]["1000"]["source"] for one in converted)
    ratio = np.median([one["us"]["1"]["source"] / one["us"]["1"]["ours"] for one in converted])
    kept = sum(one["path"] != "ONNX" and "us" in one for one in lines)
    told = f"; {kept} of them were proved and timed as they are served natively" if kept else ""
    summary = (
        f"{len(converted)} of {len(lines)} models become ONNX, proved on {rows:,} rows with {flips} flips; the others are "
        f"refused by name{told}. One row is answered {ratio:,.0f} times as fast as by the source (median); a batch of a "
        f"thousand is faster for {faster} of them.\n"
    )
    text = [
        summary,
        "| model | answers | path | rows: random, boundary | largest difference | flips | one row | 1,000 rows |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in lines:
        head = f"| {one['figure']} | {one['outputs']} | {one['path']} |"
        if "us" not in one:
            text.append(f"{head} {one.get('refused', one['reason'])} | | | | |")
            continue
        if one["path"] != "ONNX":
            head = f"| {one['figure']} | {one['outputs']} | native: {one['reason']} |"
        single, batch = one["us"]["1"], one["us"]["1000"]
        text.append(
            f"{head} {one['rows']['random']:,}, {one['rows']['boundary']:,} | {one['max_difference']:.0e} | {one['flips']} | "
            f"{single['ours']:,.0f} µs, source {single['source']:,.0f} | "
            f"{batch['ours'] / 1000:,.1f} ms, source {batch['source'] / 1000:,.1f} |"
        )
    return "\n".join(text) + "\n"


def emitters():
    """Every family's estimators and rules, from the families themselves."""
    from seakeep.conversion.emit import families, registry

    families.load()
    by_module = {}
    for kind in sorted(frozenset().union(*registry.registered()), key=lambda one: one.__name__):
        if not kind.__name__.startswith("_"):
            by_module.setdefault(registry.emitter_of(kind).__module__, []).append(kind.__name__)
    text = ["| family | estimators | rules |", "|---|---|---|"]
    for module, names in sorted(by_module.items()):
        told = " ".join((importlib.import_module(module).__doc__ or "").replace("``", "`").split())
        told = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", told).replace("|", "\\|")
        text.append(f"| `{module.rpartition('.')[2]}` | {', '.join(names)} | {told} |")
    return "\n".join(text) + "\n"


def document(lines):
    """Put the tables into the documentation."""
    text = DOCS.read_text("utf-8")
    for begin, end, made in ((BEGIN, END, table(lines)), (EMITTERS, EMITTERS_END, emitters())):
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{made}\n{end}{after}"
    DOCS.write_text(text, "utf-8")


def main(word, *, keep=False):
    """Try all models and write the results, beside those kept of the others."""
    from zoo import data

    warnings.simplefilter("ignore")
    train, unseen = data.draw(ROWS, 0), data.draw(ROWS, 1)
    lines = []
    for module, family in FAMILIES.items():
        if not util.find_spec(f"zoo.{module}") or not util.find_spec(family.replace("scikit-learn", "sklearn")):
            print(f"{family} is not installed: its models are left out")
            continue
        for name, entry in importlib.import_module(f"zoo.{module}").MODELS.items():
            if word not in name:
                continue
            began = time.perf_counter()
            lines.append(line(name, family, tried(entry, train, unseen)))
            told = lines[-1]
            print(
                f"{name:48} {told['path']:7} {told.get('max_difference', float('nan')):8.1e} "
                f"{told['ours']} us, source {told['peers'][family]}; {time.perf_counter() - began:.1f} s",
                flush=True,
            )
    if keep:
        made = {one["figure"] for one in lines}
        lines = [one for one in json.loads(RESULTS.read_text("utf-8")) if one["figure"] not in made] + lines
    if keep or not word:
        RESULTS.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")
        document(lines)
    print(table(lines).split("\n", 1)[0])


if __name__ == "__main__":
    main(" ".join(one for one in sys.argv[1:] if one != "--keep"), keep="--keep" in sys.argv)
