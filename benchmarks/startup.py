"""How light the package is: base install size and packages, import and ``--help`` time, beside the budgets."""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def median_ms(command, rounds=15):
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 1)


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = f"{folder}/bin/python"
        subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True)
        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
        )
        packages = [p["name"] for p in json.loads(listed.stdout) if p["name"] not in {"pip", "setuptools"}]
        subprocess.run([python, "-m", "pip", "uninstall", "-qy", "setuptools", "pip"], check=False)
        site = next(Path(folder).glob("lib/python3*/site-packages"))
        size_mb = sum(f.stat().st_size for f in site.rglob("*") if f.is_file()) / 1e6
        figures = [
            ("base install, packages", "packages", len(packages), 40),
            ("base install, size", "MB", round(size_mb, 1), 300),
            ("python -c pass", "ms", median_ms([python, "-c", "pass"]), None),
            ("import seakeep (with the interpreter)", "ms", median_ms([python, "-c", "import seakeep"]), 150),
            ("seakeep --help", "ms", median_ms([f"{folder}/bin/seakeep", "--help"]), 250),
        ]
    results = [
        {
            "figure": figure,
            "unit": unit,
            "ours": ours,
            "peers": {},
            "ratio_to_best_peer": None,
            "limit": limit,
            "machine": f"{platform.machine()}, {platform.system()}",
            "versions": {"python": platform.python_version()},
            "date": datetime.now(UTC).date().isoformat(),
        }
        for figure, unit, ours, limit in figures
    ]
    for row in results:
        print(f"{row['figure']:40} {row['ours']:>8} {row['unit']:8} limit {row['limit']}")
    (ROOT / "benchmarks" / "results" / "startup.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
