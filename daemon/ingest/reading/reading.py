"""Reading: the result of reading one drop so far, and whether its bad rows reject it whole."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.journal_rows import LabelRecord
from retraind.daemon.core.settings import Inbox as Policy
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.tabular import csv_records, csv_table
from retraind.daemon.tabular.checks.bad_rows import MOST_BAD, BadRecord
from retraind.daemon.tabular.column_types import UNLABELLED
from retraind.daemon.tabular.csv_table import Header

FEWEST_BAD = 10
"""Fewer bad rows than this reject no file for their share: they may be slips, even in a file of few rows."""

SHOWN_COLUMNS = 3
"""Maximum number of columns that the reason names."""


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
    mostly_bad: bool = False
    """Whether it is rejected for its share of bad rows, which are then reported one by one."""

    @property
    def repeats(self) -> bool:
        """Whether it is a valid drop that adds nothing new."""
        return self.error is None and not self.rows_accepted

    def restart(self) -> None:
        """Forget the outcome of reading it with others, to read it alone."""
        self.header, self.error, self.line, self.mostly_bad = None, None, None, False
        self.rows_read = self.rows_accepted = 0
        self.bad.clear()


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
    return _too_many(reading, policy)


def _too_many(reading: Reading, policy: Policy) -> InvalidDrop | None:
    """The rejection of a file for its share of bad rows: most often the schema reads it wrongly.

    Rows without a label are expected, and each late label stands for itself.
    """
    bad = [one for one in reading.bad if not one.reason.startswith(UNLABELLED)]
    labelled = reading.rows_read - (len(reading.bad) - len(bad))
    if reading.source == "label" or len(bad) < FEWEST_BAD or len(bad) <= policy.max_bad_share * labelled:
        return None
    reading.mostly_bad = True
    columns = Counter(one.column for one in bad if one.column).most_common(SHOWN_COLUMNS)
    places = ", ".join(f"{count} in {name!r}" for name, count in columns) or "their number of cells"
    reason = (
        f"{len(bad)} of {labelled} rows are bad ({places}), a larger share than inbox.max_bad_share = "
        f"{policy.max_bad_share:g}, so none is taken. The first: {bad[0].reason} Correct the file, or how it is read "
        "(`retraind schema`), and drop it again."
    )
    return InvalidDrop(reason, line=_line(reading, bad[0]), column=bad[0].column)


def count_rows(reading: Reading) -> int:
    """The number of rows in a rejected file, including unread ones; 0 if it has no header."""
    return csv_records.count(reading.drop.content, reading.header.body) if reading.header else 0


def _first_bad_line(reading: Reading) -> int | None:
    return _line(reading, reading.bad[0])


def _line(reading: Reading, bad: BadRecord) -> int | None:
    """The 1-based line of a bad row; None for a sample over HTTP."""
    if reading.header is None:
        return None
    return next(line for _, line, _ in csv_table.locate(reading.drop.content, reading.header, [bad.record]))
