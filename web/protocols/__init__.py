"""Protocols of other model servers: MLflow, Open Inference V2, TensorFlow Serving and KServe V1."""
