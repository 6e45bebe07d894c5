"""The protocols of other people's clients: MLflow, Open Inference V2, TensorFlow Serving and KServe V1."""
