"""Category sets: turns splits by sets of categories into columns that trees compare with a number.

ONNX's trees have no splits by sets. A column is 0 for a row if its category goes left, 1 if it goes right, and NaN if
it is unseen in `fit`: then the split treats it as missing. Splits with the same set share one column.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

HALF = 0.5
"""The threshold for a membership: 0 goes left."""

WORD = 32
"""Bits in a word of scikit-learn's sets of codes."""


def members(bitset: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Mask of the codes in a set, (256,): bit b of word w is code 32 w + b."""
    return (bitset[:, None] >> np.arange(WORD, dtype=np.uint32) & 1).astype(bool).ravel()


@dataclass
class Memberships:
    """The columns after the `width` columns of the rows; `known` has the set of codes of each category column."""

    width: int
    known: dict[int, NDArray[np.bool_]]
    columns: dict[tuple[int, bytes], int] = field(default_factory=dict)
    """The position of the added column, by category column and by the set of categories that goes left."""

    @classmethod
    def of(cls, boosting: Any) -> "Memberships":
        """An empty one, for a fitted histogram gradient boosting that kept the order of columns."""
        bitsets, places = boosting._bin_mapper.make_known_categories_bitsets()
        mask = getattr(boosting, "is_categorical_", None)
        categories = {} if mask is None else {int(at): members(bitsets[places[at]]) for at in np.flatnonzero(mask)}
        return cls(boosting.n_features_in_, categories)

    def place(self, feature: int, bitset: NDArray[np.uint32]) -> int:
        """The position of the column that tells on which side of a split a row is."""
        return self.columns.setdefault((feature, bitset.tobytes()), self.width + len(self.columns))

    def nodes(self, source: str, target: str) -> tuple[list[NodeProto], dict[str, NDArray[Any]]]:
        """The operators that append the columns to `source` (n, width), and their constants."""
        sides = [self._sides(feature, bitset) for feature, bitset in self.columns]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in sides])[:-1]]).astype(np.int64)
        features = np.array([feature for feature, _ in self.columns], dtype=np.int64)
        constants = {"member_of": features, "member_from": starts + 1, "member_sides": np.concatenate(sides)}
        made = [
            helper.make_node("Gather", [source, "member_of"], ["member_codes"], axis=1),
            helper.make_node("Cast", ["member_codes"], ["member_whole"], to=TensorProto.INT64),
            helper.make_node("Add", ["member_whole", "member_from"], ["member_places"]),
            helper.make_node("Gather", ["member_sides", "member_places"], ["member_found"], axis=0),
            helper.make_node("Concat", [source, "member_found"], [target], axis=1),
        ]
        return made, constants

    def _sides(self, feature: int, bitset: bytes) -> NDArray[np.float64]:
        """The side of a split for each code from -1 on, NaN for a code unseen in `fit`."""
        categories = self.known[feature]
        left = members(np.frombuffer(bitset, dtype=np.uint32))
        return np.concatenate([[np.nan], np.where(left, 0.0, np.where(categories, 1.0, np.nan))])
