"""web.serving.answered: one row is answered and logged as it would be among others."""

from typing import Any

import bundles
import orjson
import pytest

from web.serving.answered import Answered, line_of, lines_of
from web.serving.predictor import Predictor


class Named(Predictor):
    """A version without a model."""

    def __init__(self, classes: list[str]) -> None:
        self.version, self.classes = 3, classes


@pytest.mark.parametrize("caller", ["", "shop"])
@pytest.mark.parametrize(
    ("classes", "prediction", "shares"),
    [(bundles.CLASSES, 1, [0.25, 0.5, 0.25]), ([], 12.5, None)],
    ids=["class", "value"],
)
def test_one_row_is_told_as_among_others(
    classes: list[str], prediction: float, shares: list[float] | None, caller: str
) -> None:
    def answered(count: int) -> Answered:
        probabilities = None if shares is None else [shares] * count
        return Answered(Named(classes), [prediction] * count, probabilities, ["a", "b"][:count], 0.5)

    values: list[Any] = [5.1, None, "Aachen"]
    single, (among, _) = line_of(answered(1), values, caller), lines_of(answered(2), [values] * 2, caller)
    alone, others = orjson.loads(single), orjson.loads(among)
    assert list(alone) == list(others)
    assert {**alone, "timestamp": ""} == {**others, "timestamp": ""}
    assert single.endswith(b"}\n")
    assert answered(1).first() == answered(2).rows()[0]
