"""Ids: whole numbers that tell rows apart and say nothing about the next one. For `draft`.

A number that differs in every row may as well be a measurement, so only one that is called like an id is left out.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

CALLED = re.compile(
    r"(^|[_ .-])(id|key|index|idx|no|nr|uuid|guid|rownames|row_names|rowid)$|^unnamed: ?[0-9]+$|^id[_ .-]",
    re.IGNORECASE,
)
CALLED_IN_CAMELS = re.compile(r"[a-z](Id|ID|Key|Nr|No)$")

FEWEST_ROWS = 20
"""In fewer rows numbers may differ by chance."""

MOST_KEPT = 1_000_000
"""So many numbers are compared; what differs in all of them is taken to differ in all."""

Order = Literal["running", "unique", ""]


@dataclass
class Ids:
    """What is known of the order of a column's whole numbers; chunks come one by one."""

    whole: bool = True
    running: bool = True
    count: int = 0
    first: int = 0
    last: int = 0
    kept: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, cells: pa.Array) -> None:
        """Take account of the next text cells."""
        if not self.whole or not len(cells) or self.count >= MOST_KEPT:
            return
        try:
            values = pc.cast(pc.utf8_trim_whitespace(cells), pa.int64()).to_numpy()
        except pa.ArrowInvalid:
            self.whole = False
            return
        self.running = (
            self.running and bool((np.diff(values) == 1).all()) and (not self.count or values[0] == self.last + 1)
        )
        self.first = self.first if self.count else int(values[0])
        self.count, self.last = self.count + len(values), int(values[-1])
        self.whole = len(np.unique(values)) == len(values)
        self.kept.append(values)

    @property
    def order(self) -> Order:
        """Whether the numbers count the rows, or differ in every row; empty if not."""
        if not self.whole or self.count < FEWEST_ROWS:
            return ""
        if self.running:
            return "running"
        return "unique" if len(np.unique(np.concatenate(self.kept))) == self.count else ""


def called(name: str) -> bool:
    """Whether a column is called like an id: customer_id, rowNo, Unnamed: 0."""
    return CALLED.search(name) is not None or CALLED_IN_CAMELS.search(name) is not None


TIME = re.compile(
    r"(^|[^a-z])(date|time|datetime|timestamp|day|created|recorded|observed|measured)($|[^a-z])", re.IGNORECASE
)
CAMEL = re.compile(r"[a-z](Date|Time|Timestamp|At)$")
ANOTHER = re.compile(r"birth|dob|born|due|end|expir|until|deadline|delivery", re.IGNORECASE)
"""Dates that say when something else is."""


def dated(name: str) -> bool:
    """Whether a column of dates is called like the time of its row."""
    return bool(TIME.search(name) or CAMEL.search(name)) and not ANOTHER.search(name)
