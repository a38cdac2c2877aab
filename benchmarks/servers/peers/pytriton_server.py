"""PyTriton (Triton with its Python backend and dynamic batches): ``pytriton_server.py MODEL PORT``."""

import os
import sys
import sysconfig

import numpy as np
import onnxruntime

libraries = sysconfig.get_config_var("LIBDIR")
if os.environ.get("LD_LIBRARY_PATH") != libraries:
    # Its stub finds the system's libpython otherwise, of another patch release.
    os.environ["LD_LIBRARY_PATH"] = libraries
    os.execv(sys.executable, [sys.executable, *sys.argv])

from pytriton.decorators import batch  # noqa: E402 -- after the path is set
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor  # noqa: E402
from pytriton.triton import Triton, TritonConfig  # noqa: E402

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


@batch
def infer(numbers):
    (scores,) = session.run(["score"], {"numbers": numbers})
    return {"score": scores.reshape(-1, 1)}


if __name__ == "__main__":
    config = TritonConfig(
        http_address="127.0.0.1", http_port=int(sys.argv[2]), allow_grpc=False, allow_metrics=False, log_verbose=0
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="late",
            infer_func=infer,
            inputs=[Tensor(name="numbers", dtype=np.float64, shape=(int(session.get_inputs()[0].shape[1]),))],
            outputs=[Tensor(name="score", dtype=np.float64, shape=(1,))],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()
