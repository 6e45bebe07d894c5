"""Id columns: whole numbers that identify rows and predict nothing. For `infer_schema`.

A number that differs in every row may also be a measurement, so a column is only left out if it is named like an id.
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
"""Minimum rows: in fewer rows, numbers may all differ by chance."""

MOST_KEPT = 1_000_000
"""Maximum number of compared numbers. If all of them differ, all others are assumed to differ."""

Order = Literal["running", "unique", ""]


@dataclass
class Ids:
    """The order of a column's whole numbers, from successive chunks."""

    whole: bool = True
    running: bool = True
    count: int = 0
    first: int = 0
    last: int = 0
    kept: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, cells: pa.Array) -> None:
        """Add the next text cells."""
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
        """`running` if the numbers count the rows, `unique` if they differ in every row, else empty."""
        if not self.whole or self.count < FEWEST_ROWS:
            return ""
        if self.running:
            return "running"
        return "unique" if len(np.unique(np.concatenate(self.kept))) == self.count else ""


def called(name: str) -> bool:
    """True if a column is named like an id: customer_id, rowNo, Unnamed: 0."""
    return CALLED.search(name) is not None or CALLED_IN_CAMELS.search(name) is not None


TIME = re.compile(
    r"(^|[^a-z])(date|time|datetime|timestamp|day|created|recorded|observed|measured)($|[^a-z])", re.IGNORECASE
)
CAMEL = re.compile(r"[a-z](Date|Time|Timestamp|At)$")
ANOTHER = re.compile(r"birth|dob|born|due|end|expir|until|deadline|delivery", re.IGNORECASE)
"""Names of dates other than the row's time, such as a birth or a deadline."""


def dated(name: str) -> bool:
    """True if a date column is named like a row's time."""
    return bool(TIME.search(name) or CAMEL.search(name)) and not ANOTHER.search(name)
