"""A fitted estimator as files that serve it: ONNX graphs, treelite, or scikit-learn itself."""
