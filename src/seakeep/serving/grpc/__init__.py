"""The Open Inference Protocol over gRPC: a thin skin, imported only where ``serving.grpc_port`` is set."""
