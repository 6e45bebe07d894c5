"""Exports a fitted estimator to files that serve it: ONNX graphs, treelite, or scikit-learn itself."""
