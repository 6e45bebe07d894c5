"""Reading: the result of reading one drop so far, and whether its bad rows reject it whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.journal_rows import LabelRecord
from retraind.daemon.core.settings import Inbox as Policy
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.tabular import csv_records, csv_table
from retraind.daemon.tabular.checks.bad_rows import MOST_BAD, BadRecord
from retraind.daemon.tabular.csv_table import Header


@dataclass
class Reading:
    """One drop and the counts of its rows. `error` is set if the whole drop is rejected."""

    drop: Drop
    source: Literal["file", "http", "label"] = "file"
    header: Header | None = None
    rows_read: int = 0
    rows_accepted: int = 0
    rows_duplicate: int = 0
    rows_known: int = 0
    """Rows that the dataset already has, whether they are accepted again or not."""
    rows_relabelled: int = 0
    """Rows with features that the dataset has only with another target."""
    rows_left_out: int = 0
    """Known rows that are not accepted again."""
    unknown: int = 0
    """Late labels of predictions that the history does not have."""
    bad: list[BadRecord] = field(default_factory=list)
    labelled: list[LabelRecord] = field(default_factory=list)
    truths: dict[str, str] = field(default_factory=dict)
    """The true value in `labelled` of each prediction id."""
    line: int | None = None
    """Line of the first bad record, 1-based; set once the drop is rejected or its bad rows are written out."""
    error: InvalidDrop | None = None

    @property
    def repeats(self) -> bool:
        """Whether it is a valid drop that adds nothing new."""
        return self.error is None and not self.rows_accepted


def stop_early(reading: Reading, policy: Policy) -> None:
    """Raise InvalidDrop as soon as it is certain that the drop is rejected."""
    if certainly_refuses(reading.bad, policy):
        require_good(reading, policy)


def certainly_refuses(bad: Sequence[BadRecord], policy: Policy) -> bool:
    """Whether these bad rows reject the whole drop, whatever good rows it has."""
    return len(bad) > MOST_BAD or (bool(bad) and policy.bad_rows == "reject_file")


def require_good(reading: Reading, policy: Policy) -> None:
    """Raise InvalidDrop if its bad rows reject the whole drop."""
    error = refusal(reading, policy)
    if error is not None:
        raise error


def refusal(reading: Reading, policy: Policy) -> InvalidDrop | None:
    """Why nothing of the drop is accepted; None if its good rows are. Sorts the bad records by their place in the file."""
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
    """The number of rows in a rejected file, including unread ones; 0 if it has no header."""
    return csv_records.count(reading.drop.content, reading.header.body) if reading.header else 0


def _first_bad_line(reading: Reading) -> int | None:
    if reading.header is None:
        return None
    return next(line for _, line, _ in csv_table.locate(reading.drop.content, reading.header, [reading.bad[0].record]))
