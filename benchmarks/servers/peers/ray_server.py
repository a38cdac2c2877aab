"""Ray Serve: ``ray_server.py MODEL PORT``, one replica."""

import signal
import sys

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0})
class Late:
    def __init__(self, model: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    async def __call__(self, request: Request) -> dict:
        body = await request.json()
        (scores,) = self.session.run(["score"], {"numbers": np.array(body["inputs"], dtype=np.float64)})
        return {"scores": scores.tolist()}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ray.init(num_cpus=1, include_dashboard=False, logging_level="error", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Late.bind(sys.argv[1]), route_prefix="/predict")
    try:
        signal.pause()
    finally:
        ray.shutdown()
