"""Outputs of the Open Inference Protocol V2: those a model has, those a request selects, and their tensors.

Sources: those of `web/protocols/open_inference.py`; outputs are named as by MLServer's scikit-learn.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from retraind.daemon.schema.schema import Schema
from retraind.web.http.problems import Problem
from retraind.web.protocols import tensors
from retraind.web.protocols.tensors import OutputTensor, Parameters
from retraind.web.serving.answered import Answered

DEFAULT = ("predict", "prediction_id")
"""Outputs of a request that selects none."""


class Requested(BaseModel):
    """An output that a request asks for."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    parameters: Parameters | None = None


class Output(NamedTuple):
    """An output of a model: datatype, and number of values per row (None: one value, without a dimension)."""

    datatype: str
    width: int | None = None


class OutputSpec(NamedTuple):
    """A selected output. With `best` > 0 it has that many classes as VALUE:INDEX:NAME instead of values."""

    name: str
    binary: bool
    best: int


def outputs_of(schema: Schema) -> dict[str, Output]:
    """The outputs of a model; `predict` is the name of the class or the number."""
    ids = Output(tensors.BYTES)
    if not schema.classes:
        return {"predict": Output("FP64"), "prediction_id": ids}
    return {
        "predict": Output(tensors.BYTES),
        "predict_proba": Output("FP64", len(schema.classes)),
        "predict_code": Output("INT64"),
        "prediction_id": ids,
    }


def wishes_of(schema: Schema, asked: Sequence[Requested] | None, parameters: Parameters | None) -> list[OutputSpec]:
    """The outputs that a request selects, in its order; raises Problem 400."""
    always = _flag(parameters, "binary_data_output", default=False)
    if not asked:
        return [OutputSpec(name, always, 0) for name in DEFAULT]
    outputs = outputs_of(schema)
    if len({output.name for output in asked}) < len(asked):
        raise Problem(400, "An output is asked for twice.")
    wishes = []
    for output in asked:
        if output.name not in outputs:
            names = ", ".join(outputs)
            raise Problem(400, f"There is no output {output.name!r:.100}.", hint=f"The model has {names}.")
        binary = _flag(output.parameters, "binary_data", default=always)
        wishes.append(OutputSpec(output.name, binary, _best(output, outputs[output.name].width)))
    return wishes


def _flag(parameters: Parameters | None, name: str, *, default: bool) -> bool:
    flag = (parameters or {}).get(name, default)
    if not isinstance(flag, bool):
        raise Problem(400, f"The parameter {name!r} is true or false, not {flag!r:.40}.")
    return flag


def _best(output: Requested, width: int | None) -> int:
    count = (output.parameters or {}).get("classification", 0)
    if type(count) is not int or count < 0:
        raise Problem(400, f"The parameter 'classification' is a number of classes, not {count!r:.40}.")
    if count and width is None:
        raise Problem(400, f"The output {output.name!r} has no classes.", hint="Ask for 'predict_proba'.")
    return min(count, width or 0)


def tensor(answered: Answered, wish: OutputSpec) -> tuple[OutputTensor, bytes]:
    """A selected output: its JSON, and its bytes if it is binary."""
    rows = len(answered.matrix)
    if wish.name == "prediction_id":
        return tensors.write(wish.name, tensors.BYTES, [rows], answered.ids, binary=wish.binary)
    if wish.name == "predict_code":
        return tensors.write(wish.name, "INT64", [rows], answered.predictions, binary=wish.binary)
    if wish.name == "predict":
        datatype = "FP64" if answered.probabilities is None else tensors.BYTES
        return tensors.write(wish.name, datatype, [rows], answered.names, binary=wish.binary)
    classes = answered.predictor.classes
    if wish.best:
        # Fewer than requested if the champion, with fewer classes, answered instead of a challenger.
        most = min(wish.best, len(classes))
        best = [text for row in answered.matrix.tolist() for text in _classified(row, classes)[:most]]
        return tensors.write(wish.name, tensors.BYTES, [rows, most], best, binary=wish.binary)
    return tensors.write(wish.name, "FP64", [rows, len(classes)], answered.matrix.ravel(), binary=wish.binary)


def _classified(shares: list[float], classes: list[str]) -> list[str]:
    """VALUE:INDEX:NAME of every class, the likeliest first."""
    order = sorted(range(len(shares)), key=lambda code: -shares[code])
    return [f"{shares[code]:f}:{code}:{classes[code]}" for code in order]
