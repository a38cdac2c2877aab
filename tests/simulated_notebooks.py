"""The notebooks under ``tests/notebooks``, and the simulated tables that they read: customers who leave, and houses."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "notebooks"
ROWS = 1_200

REFUSED = {
    "every_row", "from_a_database", "from_a_url", "no_seed", "own_class", "own_lambda", "words",
}  # fmt: skip
"""Notebooks that cannot be adopted as they are."""
TAKEN = {path.stem for path in FOLDER.glob("*.ipynb")} - REFUSED


def write_tables(folder):
    """Write ``customers.csv`` and ``houses.csv``, the same each time."""
    rng = np.random.default_rng(20240229)
    _write(folder / "customers.csv", _customers(rng))
    _write(folder / "houses.csv", _houses(rng))


def put(name, folder):
    """Put a notebook beside its tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(folder)
    return Path(shutil.copy(FOLDER / f"{name}.ipynb", folder))


def _customers(rng):
    tenure = rng.integers(0, 72, ROWS)
    complaints = rng.poisson(0.8, ROWS)
    plan = rng.choice(["basic", "plus", "pro"], ROWS, p=[0.5, 0.3, 0.2])
    monthly = np.round(20 + 15 * (plan == "plus") + 40 * (plan == "pro") + rng.normal(0, 6, ROWS), 2)
    age = rng.integers(18, 80, ROWS)
    lean = 0.8 * complaints - 0.05 * tenure + 0.02 * monthly - 0.5 + rng.logistic(0, 1, ROWS)
    signup = np.datetime64("2018-01-01T00:00") + rng.integers(0, 5 * 365 * 24, ROWS).astype("timedelta64[h]")
    return {
        "customer_id": [f"C{number:05d}" for number in range(ROWS)],
        "age": ["" if rng.random() < 0.06 else int(one) for one in age],
        "tenure": tenure.tolist(),
        "plan": plan.tolist(),
        "region": ["" if rng.random() < 0.03 else one for one in rng.choice(["north", "east", "south", "west"], ROWS)],
        "monthly": ["" if rng.random() < 0.04 else float(one) for one in monthly],
        "complaints": complaints.tolist(),
        "signup": signup.astype(str).tolist(),
        "churned": ["Yes" if one > 0 else "No" for one in lean],
    }


def _houses(rng):
    area = np.round(rng.gamma(6, 18, ROWS), 1)
    rooms = np.maximum(1, np.round(area / 25 + rng.normal(0, 1, ROWS))).astype(int)
    built = rng.integers(1930, 2022, ROWS)
    distance = np.round(rng.exponential(8, ROWS), 2)
    city = rng.choice(["Haven", "Kiel", "Porto"], ROWS)
    price = 1500 * area + 600 * (built - 1930) - 2500 * distance + 40_000 * (city == "Haven") + rng.normal(0, 9e3, ROWS)
    return {
        "area": area.tolist(), "rooms": rooms.tolist(), "built": built.tolist(), "distance": distance.tolist(),
        "city": city.tolist(), "price": np.maximum(10_000, np.round(price)).tolist(),
    }  # fmt: skip


def _write(path, columns):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def table(outcomes):
    """The rows of the table in ``docs/adopt.md``: of each notebook its title, and what became of it."""
    rows = ["| notebook | what it is | adopted |", "|---|---|---|"]
    for path in sorted(FOLDER.glob("*.ipynb")):
        title = json.loads(path.read_text("utf-8"))["cells"][0]["source"][0].removeprefix("# ").strip()
        rows.append(f"| [`{path.stem}`](../tests/notebooks/{path.name}) | {title} | {outcomes[path.stem]} |")
    return "\n".join(rows)
