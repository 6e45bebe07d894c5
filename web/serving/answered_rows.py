"""The answers to many rows, as arrays: each form is only made if an endpoint sends it."""

from binascii import b2a_base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from retraind.daemon.core.status import utcnow
from retraind.daemon.schema import prediction_block
from retraind.daemon.schema.costs import named
from retraind.daemon.schema.prediction_block import Block
from retraind.web.serving.inputs import Inputs, Matrix
from retraind.web.serving.predictor import Predictor


@dataclass
class AnsweredRows:
    """The predictions of a request with many rows."""

    predictor: Predictor
    matrix: Matrix
    """The probabilities (n, classes), or the values (n, 1)."""
    request: str
    """The id of the request, from which the ids of its rows are derived."""
    first: int
    """The number of the first row in the request."""
    latency_ms: float

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.matrix)

    @cached_property
    def codes(self) -> NDArray[np.int64] | None:
        """The codes of the classes; None for values."""
        return named(self.matrix, self.predictor.costs) if self.predictor.classes else None

    @cached_property
    def ids(self) -> list[str]:
        """The prediction ids."""
        return [prediction_block.identity(self.request, self.first + number) for number in range(len(self))]

    @property
    def predictions(self) -> list[Any]:
        """Codes of classes, or values."""
        answers: NDArray[Any] = self.matrix[:, 0] if self.codes is None else self.codes
        return list(answers.tolist())

    @property
    def names(self) -> list[str | float]:
        """The predictions as names of classes, or values."""
        classes, predictions = self.predictor.classes, self.predictions
        return [classes[code] for code in predictions] if classes else predictions

    @property
    def probabilities(self) -> list[list[float]] | None:
        """By row, in the order of the classes' codes; None for values."""
        return self.matrix.tolist() if self.predictor.classes else None

    def json(self) -> bytes:
        """The answer of `/predict` to each row, equal to `AnsweredRow.first`: JSON objects, separated by commas."""
        shares = orjson.dumps(self.matrix.ravel(), option=orjson.OPT_SERIALIZE_NUMPY).decode()[1:-1].split(",")
        parts = self._value_parts(shares) if self.codes is None else self._class_parts(shares, self.codes)
        # Composed by columns, because a dictionary for each row would take five times as long.
        text: list[str] = [""] * (len(parts) * len(self))
        for place, part in enumerate(parts):
            text[place :: len(parts)] = part
        return "".join(text).removesuffix(",").encode()

    def _value_parts(self, values: list[str]) -> list[list[str]]:
        count = len(self)
        return [
            ['{"prediction":'] * count,
            values,
            [f',"prediction_id":"{key}","prediction_name":null,"confidence":null}},' for key in self.ids],
        ]

    def _class_parts(self, shares: list[str], codes: NDArray[np.int64]) -> list[list[str]]:
        classes, count = self.predictor.classes, len(self)
        quoted = [orjson.dumps(name).decode() for name in classes]
        starts = [f'{{"prediction":{code},"prediction_id":"' for code in range(len(classes))]
        middles = [f'","prediction_name":{name},"confidence":' for name in quoted]
        predictions = codes.tolist()
        best = (np.arange(count) * len(classes) + codes).tolist()
        keys = [f',"probabilities":{{{quoted[0]}:', *(f",{name}:" for name in quoted[1:])]
        parts = [
            [starts[code] for code in predictions],
            self.ids,
            [middles[code] for code in predictions],
            [shares[place] for place in best],
        ]
        for code, key in enumerate(keys):
            parts += [[key] * count, shares[code :: len(classes)]]
        return [*parts, ["}},"] * count]

    def lines(self, inputs: Inputs, caller: str) -> Iterator[bytes]:
        """The blocks of the log about these rows, each a line, with the name of the caller; `inputs` has the same rows."""
        step = max(1, prediction_block.CELLS // (inputs.matrix.shape[1] + self.matrix.shape[1]))
        at, classes = utcnow(), self.predictor.classes or None
        for start in range(0, len(self), step):
            end = min(start + step, len(self))
            here = slice(start, end)
            block: Block = {
                "timestamp": at,
                "model_version": self.predictor.version,
                "latency_ms": self.latency_ms,
                "block": self.request,
                "first": self.first + start,
                "rows": end - start,
                "features": _packed(inputs.matrix[here]) if inputs.exact else inputs.values[here],
                "classes": classes,
                "predictions": None if self.codes is None else self.codes[start:end].tolist(),
                "answers": _packed(self.matrix[start:end]),
            }
            if caller:
                block["caller"] = caller
            yield orjson.dumps(block, option=orjson.OPT_APPEND_NEWLINE)


def joined(parts: Sequence[AnsweredRows]) -> AnsweredRows:
    """Pieces of one request, in order, as one."""
    first, last = parts[0], parts[-1]
    return AnsweredRows(
        last.predictor, np.vstack([part.matrix for part in parts]), first.request, first.first, last.latency_ms
    )


def _packed(rows: Matrix) -> str:
    return b2a_base64(rows.astype("<f8", copy=False).tobytes(), newline=False).decode()
