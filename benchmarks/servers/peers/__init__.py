"""The peers: what is installed for each, how its users start it, and how it is asked for the same row."""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

from servers.environments import installed, interpreter
from servers.process import Server

HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Peer:
    """One peer.

    Attributes
    ----------
    requirements
        Installed into its own environment; the engine and NumPy are ours, so that the same model runs on the same engine.
    script
        Its server, beside this file: ``script MODEL PORT``.
    form
        How a row is asked for: ``rows`` (a list of lists), or ``tensor`` (Open Inference Protocol).
    read
        Takes the scores out of a decoded answer.
    """

    name: str
    requirements: list
    script: str
    path: str
    form: str
    read: object

    @functools.cache  # noqa: B019 -- a handful of peers
    def version(self):
        """The release that is installed."""
        return installed(interpreter(self.name, self.requirements), re.split(r"[\[>]", self.requirements[0])[0])

    def server(self, subject):
        """The peer, installed; raises RuntimeError if it cannot be."""
        python = interpreter(self.name, self.requirements)

        def check(answer, row):
            found = self.read(json.loads(answer))
            assert abs(found[0] - subject.scores[row]) < 1e-5, f"score {found}, not {subject.scores[row]}"

        return Server(
            name=self.name,
            command=[python, str(HERE / self.script), str(subject.onnx), "{port}"],
            path=self.path,
            bodies=[json.dumps(FORMS[self.form](values)).encode() for values in subject.inputs],
            check=check,
        )


def _rows(values):
    return {"inputs": [values]}


def _tensor(values):
    return {"inputs": [{"name": "numbers", "shape": [1, len(values)], "datatype": "FP64", "data": values}]}


def _named(values):
    return {"inputs": {"numbers": [values]}}


FORMS = {"rows": _rows, "tensor": _tensor, "named": _named}


def _score_tensor(answer):
    return next(one["data"] for one in answer["outputs"] if one["name"] == "score")


def _flat(found):
    """The scores in what MLflow gives: by name of the output, or as they are."""
    while isinstance(found, dict):
        (found,) = found.values()
    return found


def _scores(answer):
    return answer["scores"]


PEERS = [
    Peer("FastAPI", ["fastapi", "uvicorn[standard]"], "fastapi_server.py", "/predict", "rows", _scores),
    Peer("LitServe", ["litserve"], "litserve_server.py", "/predict", "rows", _scores),
    Peer("BentoML", ["bentoml"], "bentoml_server.py", "/predict", "rows", lambda answer: answer),
    # Its inference loop asks for an event loop that newer releases of uvloop do not make by themselves.
    Peer(
        "MLServer", ["mlserver", "uvloop<0.22"], "mlserver_server.py", "/v2/models/late/infer", "tensor", _score_tensor
    ),
    Peer(
        "MLflow",
        ["mlflow", "onnx"],
        "mlflow_server.py",
        "/invocations",
        "named",
        lambda answer: _flat(answer["predictions"]),
    ),
    Peer("Ray Serve", ["ray[serve]"], "ray_server.py", "/predict", "rows", _scores),
    Peer("KServe", ["kserve"], "kserve_server.py", "/v2/models/late/infer", "tensor", _score_tensor),
    Peer("PyTriton", ["nvidia-pytriton>=0.7"], "pytriton_server.py", "/v2/models/late/infer", "tensor", _score_tensor),
]
