"""KServe's model server: ``kserve_server.py MODEL PORT``."""

import sys

import kserve
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse


class Late(kserve.Model):
    def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
        self.ready = True
        return self.ready

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:  # noqa: ARG002 -- its interface
        (scores,) = self.session.run(["score"], {"numbers": payload.inputs[0].as_numpy()})
        output = InferOutput("score", [len(scores)], "FP64", data=scores.tolist())
        # An answer needs an id: without one the server ends with an error of its own, although the protocol lets it out.
        return InferResponse(payload.id or "1", self.name, [output])


if __name__ == "__main__":
    model = Late("late")
    model.load()
    kserve.ModelServer(
        http_port=int(sys.argv[2]), enable_grpc=False, workers=1, enable_docs_url=False, access_log_format=None
    ).start([model])
