"""Pipelining: many rows are predicted in pieces; the next piece is computed while the previous one is logged.

ONNX Runtime releases the interpreter while it computes, so the two overlap if there is a second core.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from daemon.artifacts.bundle import Matrix
from web.serving.predictor import Predictor

PIECE_ROWS = 1024
"""The smallest piece, apart from the last. Each piece is a third of the remaining rows, which gives few pieces and
little work after the last."""


class Pipelined:
    """The thread in which the models of one worker predict many rows."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "ahead")

    def answers(self, chosen: Predictor, rows: Matrix) -> Iterable[Matrix]:
        """The model's answers in order, in one or more pieces; raises InvalidFeatures, possibly only after the first."""
        if len(rows) <= PIECE_ROWS:
            return [chosen.answers(rows)]
        return self._thread.map(chosen.answers, _pieces(rows))


def _pieces(rows: Matrix) -> Iterator[Matrix]:
    at = 0
    while at < len(rows):
        size = max(PIECE_ROWS, (len(rows) - at) // 3)
        yield rows[at : at + size]
        at += size
