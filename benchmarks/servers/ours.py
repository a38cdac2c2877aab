"""Ours: ``seakeep serve`` with a key, so that validation, access, feature lookup, metrics and recording are all on."""

import json
import shutil
import sys
from pathlib import Path

from servers.process import Server
from servers.subject import MODEL, ROOT

SOURCES = {"PYTHONPATH": str(ROOT / "src")}


def entities(subject, folder, *, workers=1, rows=1, command=None):
    """Rows with entity keys; the features are looked up.

    Parameters
    ----------
    folder
        Where its project is copied to, with its state.
    rows
        In one request.
    """
    project = folder / "project"
    if not project.exists():
        shutil.copytree(subject.project, project)
    asked = [[subject.rows[(at + row) % len(subject.rows)] for row in range(rows)] for at in range(len(subject.rows))]

    def check(answer, row):
        found = json.loads(answer)["predictions"][0]["score"]
        assert found == subject.scores[row], f"score {found}, not {subject.scores[row]}"

    return Server(
        name="Seakeep",
        command=command or [sys.executable, "-m", "seakeep", "serve"],
        path=f"/v1/models/{MODEL}/predict",
        bodies=[json.dumps({"rows": one}).encode() for one in asked],
        check=check,
        headers={"authorization": f"Bearer {subject.key}"},
        environment={
            **SOURCES,
            "SEAKEEP_SERVING__PORT": "{port}",
            "SEAKEEP_SERVING__WORKERS": str(workers),
        },
        folder=str(project),
    )


def tensors(subject, folder, **settings):
    """The same service, asked in the Open Inference Protocol with the inputs themselves."""
    base = entities(subject, folder, **settings)
    bodies = [
        json.dumps(
            {
                "inputs": [
                    {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
                    for name, value in zip(subject.names, values, strict=True)
                ]
            }
        ).encode()
        for values in subject.inputs
    ]

    def check(answer, row):
        outputs = {one["name"]: one["data"] for one in json.loads(answer)["outputs"]}
        assert outputs["score"] == [subject.scores[row]], outputs

    told = {**vars(base), "name": "Seakeep, tensors", "path": f"/v2/models/{MODEL}/infer", "bodies": bodies}
    return Server(**{**told, "check": check})


def alone(subject, folder, *, recording):
    """One worker without its supervisor, with or without the recorder."""
    command = [
        sys.executable,
        str(Path(__file__).parent / "worker.py"),
        str(folder / "project"),
        "{port}",
        "on" if recording else "off",
    ]
    return entities(subject, folder, command=command)
