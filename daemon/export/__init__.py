"""Takes a version away: writes it as an ONNX graph, an MLflow model or a pickled pipeline that needs nothing of retraind."""
