"""MLServer with a runtime for ONNX: ``mlserver_server.py MODEL PORT``; no parallel workers, its fastest way here."""

import asyncio
import sys

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse


class Onnx(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        numbers = NumpyCodec.decode_input(payload.inputs[0])
        (scores,) = self.session.run(["score"], {"numbers": numbers})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", scores)])


async def main() -> None:
    settings = Settings(
        host="127.0.0.1",
        http_port=int(sys.argv[2]),
        grpc_port=0,
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
    )
    server = MLServer(settings)
    parameters = ModelParameters(uri=sys.argv[1])
    await server.start([ModelSettings(name="late", implementation=Onnx, parameters=parameters)])


if __name__ == "__main__":
    asyncio.run(main())
