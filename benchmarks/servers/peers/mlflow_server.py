"""MLflow: ``mlflow_server.py MODEL PORT`` saves the model in its ONNX flavour and serves it with ``mlflow models serve``."""

import os
import sys
import tempfile
from pathlib import Path

import mlflow
import onnx

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp()) / "model"
    options = {"intra_op_num_threads": 1}
    mlflow.onnx.save_model(onnx.load(sys.argv[1]), str(folder), onnx_session_options=options, pip_requirements=[])
    program = str(Path(sys.executable).parent / "mlflow")
    words = [
        "models",
        "serve",
        "-m",
        str(folder),
        "--env-manager",
        "local",
        "-w",
        "1",
        "-h",
        "127.0.0.1",
        "-p",
        sys.argv[2],
    ]
    os.execv(program, [program, *words])
