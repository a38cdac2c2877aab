"""BentoML: ``bentoml_server.py MODEL PORT`` serves the class below with ``bentoml serve``, one worker."""

import os
import sys
from pathlib import Path

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Late:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, inputs: list[list[float]]) -> list[float]:
        return self.session.run(["score"], {"numbers": np.array(inputs, dtype=np.float64)})[0].tolist()


if __name__ == "__main__":
    os.environ |= {"MODEL": sys.argv[1], "BENTOML_DO_NOT_TRACK": "True"}
    os.chdir(Path(__file__).parent)
    program = str(Path(sys.executable).parent / "bentoml")
    os.execv(program, [program, "serve", "bentoml_server:Late", "--host", "127.0.0.1", "--port", sys.argv[2]])
