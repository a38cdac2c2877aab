"""LitServe: ``litserve_server.py MODEL PORT``."""

import sys

import litserve
import numpy as np
import onnxruntime


class Api(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002 -- its interface
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request):
        return np.array(request["inputs"], dtype=np.float64)

    def predict(self, inputs):
        return self.session.run(["score"], {"numbers": inputs})[0]

    def encode_response(self, scores):
        return {"scores": scores.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, log_level="warning", generate_client_file=False
    )
