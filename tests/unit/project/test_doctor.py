"""What the doctor finds: on this machine, in a project that is whole, and in one that is not."""

import contextlib
import importlib.metadata
import json
import sqlite3
import tomllib
from pathlib import Path

import pytest
from tests.flights import MODEL, change, run
from tests.recording import flip

from seakeep.project import doctor
from seakeep.project.doctor import examine

ROOT = Path(__file__).parents[3]


def by_part(found):
    return {one.part: one for one in found}


def test_every_extra_is_looked_for():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    found = by_part(examine())
    assert {part.removeprefix("extra ") for part in found if part.startswith("extra ")} == set(declared)
    assert found["extra xgboost"].state == "fine"
    assert "xgboost" in found["extra xgboost"].told
    assert found["computes by cpu"].state == "fine"


def test_what_is_not_installed_is_told_with_what_to_do(monkeypatch):
    version = importlib.metadata.version

    def without(name):
        if name == "xgboost":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    found = by_part(examine())["extra xgboost"]
    assert (found.state, found.told) == ("absent", "xgboost not installed")
    assert found.hint == "pip install 'seakeep[xgboost]'"


@pytest.mark.slow
def test_each_part_of_a_project_that_is_not_whole_is_named(flights_at, monkeypatch):
    folder = flights_at("recorded")
    assert {one.state for one in examine(folder) if not one.part.startswith(("extra", "computes"))} == {"fine"}
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 1 << 62)
    home = folder / ".seakeep"
    flip(home / "recorder" / "predictions")
    model = next((home / "bundles").rglob("model.onnx"))
    model.chmod(0o600)
    model.write_bytes(model.read_bytes()[:-1])
    with contextlib.closing(sqlite3.connect(home / "state.db")) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        assert database.execute("DELETE FROM audit WHERE number = 2").rowcount
    found = by_part(examine(folder))
    broken = {part for part, one in found.items() if one.state == "fault"}
    assert broken == {"disk", "records", "audit", f"version {MODEL}:1"}
    assert "cannot be read" in found["records"].told
    assert all(found[part].hint for part in broken)
    told = run(folder, "doctor", "--json")
    assert told.code == 4
    assert broken - {"disk"} <= {one["part"] for one in json.loads(told.out) if one["state"] == "fault"}
    change(folder, ("sk.Model(", "sk.Modell("))
    (project,) = [one for one in examine(folder) if one.part == "project"]
    assert (project.state, project.hint) == ("fault", "seakeep check")
