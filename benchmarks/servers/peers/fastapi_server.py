"""Plain FastAPI and ONNX Runtime, as one writes it by hand: ``fastapi_server.py MODEL PORT``."""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


class Inputs(BaseModel):
    inputs: list[list[float]]


@app.post("/predict")
async def predict(body: Inputs) -> dict:
    # In the event loop, not in a thread: a thread costs more than the model, and is slower by half.
    (scores,) = session.run(["score"], {"numbers": np.array(body.inputs, dtype=np.float64)})
    return {"scores": scores.tolist()}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
