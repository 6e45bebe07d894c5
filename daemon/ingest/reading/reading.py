"""Reading: what reading one drop has given so far, and whether it is rejected whole because of its bad rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from daemon.core.errors import InvalidDrop
from daemon.core.journal_rows import LabelRecord
from daemon.core.settings import Inbox as Policy
from daemon.inbox.drop import Drop
from daemon.tabular import csv_records, csv_table
from daemon.tabular.csv_table import Header

MOST_BAD = 100_000
"""Bad rows of one drop that are put into quarantine; with more, it is another kind of file."""


class BadRecord(NamedTuple):
    """A record that was rejected; `column` None: the record as a whole."""

    record: int
    column: str | None
    reason: str


@dataclass
class Reading:
    """One drop and its rows, counted. `error`: the whole drop is rejected."""

    drop: Drop
    source: Literal["file", "http", "label"] = "file"
    header: Header | None = None
    rows_read: int = 0
    rows_accepted: int = 0
    rows_duplicate: int = 0
    rows_known: int = 0
    """Rows that the dataset has already, whether they are taken again or not."""
    rows_relabelled: int = 0
    """Rows whose features the dataset has, but only with another target."""
    rows_left_out: int = 0
    """Known rows that are not taken again."""
    bad: list[BadRecord] = field(default_factory=list)
    labelled: list[LabelRecord] = field(default_factory=list)
    truths: dict[str, str] = field(default_factory=dict)
    """The true value in `labelled` of each prediction id."""
    line: int | None = None
    """Line of the first bad record, 1-based; known once the drop is rejected or its bad rows are written out."""
    error: InvalidDrop | None = None

    @property
    def repeats(self) -> bool:
        """Whether it is a good drop that adds nothing new."""
        return self.error is None and not self.rows_accepted


def stop_early(reading: Reading, policy: Policy) -> None:
    """Raise InvalidDrop as soon as it is certain that the drop is rejected."""
    if certainly_refuses(reading.bad, policy):
        require_good(reading, policy)


def certainly_refuses(bad: Sequence[BadRecord], policy: Policy) -> bool:
    """Whether the whole drop is rejected for these bad rows, whatever good rows it has."""
    return len(bad) > MOST_BAD or (bool(bad) and policy.bad_rows == "reject_file")


def require_good(reading: Reading, policy: Policy) -> None:
    """Raise InvalidDrop if the whole drop is rejected for its bad rows."""
    error = refusal(reading, policy)
    if error is not None:
        raise error


def refusal(reading: Reading, policy: Policy) -> InvalidDrop | None:
    """Why nothing of the drop is taken; None: its good rows are. Sorts the bad records by their place in the file."""
    if not reading.bad:
        return None
    reading.bad.sort(key=lambda bad: bad.record)
    first = reading.bad[0]
    if len(reading.bad) > MOST_BAD:
        reason = f"More than {MOST_BAD} rows are bad, the first because: {first.reason}"
        return InvalidDrop(reason, line=_first_bad_line(reading), column=first.column)
    if certainly_refuses(reading.bad, policy) or not reading.rows_accepted:
        return InvalidDrop(first.reason, line=_first_bad_line(reading), column=first.column)
    return None


def count_rows(reading: Reading) -> int:
    """How many rows a rejected file has, also those that were not read; 0 if it has no header."""
    return csv_records.count(reading.drop.content, reading.header.body) if reading.header else 0


def _first_bad_line(reading: Reading) -> int | None:
    if reading.header is None:
        return None
    return next(line for _, line, _ in csv_table.locate(reading.drop.content, reading.header, [reading.bad[0].record]))
