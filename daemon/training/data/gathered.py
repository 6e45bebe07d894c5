"""An array that grows by pieces, without the pieces and the whole in memory at the same time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Gathered:
    """The values of all pieces in one array, whose capacity grows by a quarter: a training's limit also counts what holds no value yet."""

    def __init__(self) -> None:
        self._values: NDArray[Any] = np.empty(0)
        self._count = 0

    def add(self, piece: NDArray[Any]) -> None:
        """Append values (n,)."""
        count = self._count + len(piece)
        if not self._count:
            self._values = piece
        elif count > len(self._values):
            larger = np.empty(max(count, len(self._values) * 5 // 4), dtype=piece.dtype)
            larger[: self._count] = self.whole
            self._values = larger
        if self._count:
            self._values[self._count : count] = piece
        self._count = count

    @property
    def whole(self) -> NDArray[Any]:
        """All values so far."""
        return self._values[: self._count]
