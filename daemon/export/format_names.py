"""The names of the three formats, for whoever must not import what writes them."""

from enum import StrEnum


class Format(StrEnum):
    """A form in which a version can be taken away."""

    ONNX = "onnx"
    MLFLOW = "mlflow"
    PICKLE = "pickle"
