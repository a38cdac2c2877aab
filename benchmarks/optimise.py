"""How long ``seakeep optimise`` takes for the flights' model, and what it chooses.

``python benchmarks/optimise.py`` trains and converts the example's model on January to May of 2013, searches for a
faster version for calls of one row and of a hundred, and writes ``benchmarks/results/optimise.json``.
"""

import datetime as dt
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import msgspec

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"
RESULTS = Path(__file__).parent / "results" / "optimise.json"
MODEL, AS_OF, VALIDATE_FROM = "late-arrival", "2013-06-01", "2013-05-01"
LIMIT_S = 120
BATCHES = (1, 100)


def spent_s():
    """Seconds of the processor's time so far, of this process and those it waited for: what a busy machine does not stretch."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main():
    from seakeep.clock import parse_moment
    from seakeep.project import open_project
    from seakeep.records.optimise import Limits

    lines = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "flights"
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".seakeep", "__pycache__"))
        project = open_project(folder)
        run = project.train(as_of_us=parse_moment(AS_OF), validate_from_us=parse_moment(VALIDATE_FROM))
        version, _ = project.convert(run.id)
        for batch in BATCHES:
            began, spent = time.perf_counter(), spent_s()
            steps = []
            found = project.optimiser.search(
                version.ref,
                Limits(loss=0.005, batch=batch),
                on_progress=lambda _part, what, began=began, steps=steps: steps.append(
                    (what, time.perf_counter() - began)
                ),
            )
            took_s, cpu_s = time.perf_counter() - began, spent_s() - spent
            told = {one.told: one for one in found.attempts}
            source, chosen = told["the source"], told.get(found.chosen)
            lines.append(
                {
                    "figure": f"search, calls of {batch} rows",
                    "unit": "s",
                    "ours": took_s,
                    "limit": LIMIT_S,
                    "processor_s": cpu_s,
                    "steps": steps,
                    "chosen": found.chosen,
                    "p99_us": {"source": source.p99_us, "chosen": chosen and chosen.p99_us},
                    "size_bytes": {"source": source.size_bytes, "chosen": chosen and chosen.size_bytes},
                    "confirmed": msgspec.to_builtins(found.confirmed),
                    "attempts": msgspec.to_builtins(found.attempts),
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                    "versions": {name: metadata.version(name) for name in ("onnxruntime", "scikit-learn", "numpy")},
                    "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                }
            )
            ahead = f"p99 {source.p99_us:,.0f} us -> {chosen.p99_us:,.0f}" if chosen else "nothing was better"
            print(
                f"{batch} rows: {took_s:.0f} s (limit {LIMIT_S}); {found.chosen or 'the source'}: {ahead}",
                file=sys.stderr,
            )
    RESULTS.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
