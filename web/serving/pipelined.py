"""Pipelining: many rows are predicted in pieces; the next piece is computed while the previous one is logged and others are read.

ONNX Runtime releases the interpreter while it computes, so the two overlap if there is a second core.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from retraind.daemon.artifacts.bundle import Matrix
from retraind.web.serving.inputs import Inputs
from retraind.web.serving.predictor import Predictor

PIECE_ROWS = 1024
"""So many rows are one piece, if they are all there."""

LAST_ROWS = 256
"""The smallest piece, apart from the last."""

HAND_OVER_SECONDS = 0.0001
"""After the first piece, so that the model begins: reading the next would hold the interpreter for a millisecond."""


class Pipelined:
    """The thread in which the models of one worker predict many rows."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "ahead")

    def answers(self, chosen: Predictor, rows: Iterable[Inputs]) -> Iterator[tuple[Inputs, Matrix]]:
        """Each piece of the rows with the model's answers, in order; raises InvalidFeatures, possibly only after the first."""
        ahead = deque[tuple[Inputs, Future[Matrix]]]()
        try:
            for number, piece in enumerate(rows):
                ahead.append((piece, self._thread.submit(chosen.answers, piece.matrix)))
                if not number:
                    time.sleep(HAND_OVER_SECONDS)
                while ahead and ahead[0][1].done():
                    yield _next(ahead)
            while ahead:
                yield _next(ahead)
        finally:
            for _, left in ahead:
                left.cancel()

    def answers_to(self, chosen: Predictor, rows: Inputs) -> Iterable[tuple[Inputs, Matrix]]:
        """The same for rows that are all there; few of them are predicted at once, in this thread."""
        if len(rows) <= PIECE_ROWS:
            return [(rows, chosen.answers(rows.matrix))]
        return self.answers(chosen, _pieces(rows))


def _next(ahead: deque[tuple[Inputs, Future[Matrix]]]) -> tuple[Inputs, Matrix]:
    piece, answers = ahead.popleft()
    return piece, answers.result()


def _pieces(rows: Inputs) -> Iterator[Inputs]:
    at = 0
    for size in sizes(len(rows), len(rows)):
        yield rows.part(slice(at, at + size))
        at += size


def sizes(rows: int, first: int) -> Iterator[int]:
    """The sizes of the pieces of so many rows, of which the first has at most `first`: few pieces, and little work after the last."""
    most, left = first, rows
    while left:
        size = min(left, most, max(LAST_ROWS, left // 3))
        yield size
        most, left = 2 * most, left - size
