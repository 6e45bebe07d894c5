"""Outcomes: the record of one drop for the journal, its report in rejected/, and the sentences about it for people. Pure."""

from typing import TypedDict

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.inbox_names import shown
from retraind.daemon.core.journal_rows import DropRecord, DropRow
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.schema.score_names import counted
from retraind.daemon.tabular.column_types import UNLABELLED


class Report(TypedDict):
    """`NAME.report.json`: why a file was rejected, and the place in it."""

    name: str
    sha256: str
    rows_read: int
    rows_known: int
    reason: str | None
    line: int | None
    column: str | None
    rejected_at: str


def accepted(reading: Reading, bad_file: str | None, settled_at: str) -> DropRecord:
    """The journal's record of a drop that added rows; `bad_file` holds its rejected rows."""
    first = reading.bad[0] if reading.bad else None
    return {
        **_drop(reading.drop, reading.source, settled_at),
        "rows_read": reading.rows_read,
        "rows_accepted": reading.rows_accepted,
        "rows_refused": len(reading.bad),
        "rows_duplicate": reading.rows_duplicate,
        "rows_known": reading.rows_known,
        "rows_relabelled": reading.rows_relabelled,
        "reason": first.reason if first else None,
        "line": reading.line,
        "column": first.column if first else None,
        "bad_file": bad_file,
    }


def repeated(drop: Drop, reason: str, settled_at: str, duplicates: int) -> DropRecord:
    """The record of a drop that adds nothing; `duplicates` is the number of rows read to establish that."""
    facts = _drop(drop, "file", settled_at)
    return {**facts, "reason": reason, "rows_read": duplicates, "rows_duplicate": duplicates}


def skipped(reading: Reading, bad_file: str | None, settled_at: str) -> DropRecord:
    """The record of a drop whose good rows the dataset already has; `bad_file` holds its bad rows."""
    return {**accepted(reading, bad_file, settled_at), "reason": f"{_known(reading)}; they were not accepted again."}


def _known(reading: Reading) -> str:
    return f"{reading.rows_known} of {counted(reading.rows_read, 'row')} {'is' if reading.rows_known == 1 else 'are'} in the dataset already"


def repeats(reading: Reading, *, skips: bool) -> tuple[EventKind, Level, str] | None:
    """Kind, level and sentence of the event on known rows; None if there are none."""
    counted_rows = f"{_known(reading)}{' and were not accepted again' if skips else ''}. " if reading.rows_known else ""
    other = reading.rows_relabelled
    if not counted_rows and not other:
        return None
    of_other = (
        f"{counted(other, 'row')} {'has' if other == 1 else 'have'} features that it has only with another target."
        if other
        else ""
    )
    sentence = f"{shown(reading.drop.name)}: {counted_rows}{of_other}".strip()
    return (EventKind.RELABELLED, Level.WARNING, sentence) if other else (EventKind.KNOWN, Level.INFO, sentence)


def rejected(
    name: str,
    reading: Reading | None,
    error: InvalidDrop,
    settled_at: str,
    by: str | None = None,
    bad_file: str | None = None,
) -> DropRecord:
    """The record of a drop that is rejected whole, `by` a person or by our rules.

    `reading` is None if it could not be read; `bad_file` has its bad rows if their share is the reason.
    """
    if reading is None:
        return {
            "name": shown(name),
            "sha256": "",
            "bytes": 0,
            "source": "file",
            "settled_at": settled_at,
            "rows_read": 0,
            "rows_known": 0,
            "reason": error.reason,
            "line": error.line,
            "column": error.column,
        }
    return {
        **_drop(reading.drop, reading.source, settled_at),
        "decided_by": by,
        "rows_read": reading.rows_read,
        "rows_refused": reading.rows_read,
        "rows_known": reading.rows_known,
        "rows_relabelled": reading.rows_relabelled,
        "reason": error.reason,
        "line": error.line,
        "column": error.column,
        "bad_file": bad_file,
    }


def _drop(drop: Drop, source: str, settled_at: str) -> DropRecord:
    """The facts that every drop's record has."""
    return {
        "name": shown(drop.name),
        "sha256": drop.sha256,
        "source": source,
        "bytes": drop.bytes,
        "seen_at": drop.seen_at,
        "settled_at": settled_at,
        "origin": drop.origin,
    }


def report(record: DropRecord | DropRow) -> Report:
    """`NAME.report.json` of a rejected drop."""
    return {
        "name": record["name"],
        "sha256": record["sha256"],
        "rows_read": record["rows_read"],
        "rows_known": record["rows_known"],
        "reason": record["reason"],
        "line": record["line"],
        "column": record["column"],
        "rejected_at": utcnow(),
    }


def rejection(record: DropRecord) -> str:
    """A sentence on a drop that was rejected whole."""
    rows = f", its bad rows with their reasons in {record['bad_file']}" if record.get("bad_file") else ""
    place = _place(record["line"], record["column"])
    return f"{record['name']}{place}: {record['reason']} It is kept in inbox/rejected{rows}."


def forgotten(drop: DropRow) -> str:
    """Why forgotten bytes are not accepted again; `drop` is the journal's row."""
    return (
        f"These bytes were forgotten in batch {drop['forgotten_in']} ({drop['forgotten_by']}, {drop['forgotten_at']}) and "
        "are not accepted again. To accept them after all, add an empty line, which makes it another file."
    )


def quarantine(reading: Reading, bad_file: str) -> str:
    """A sentence on the rejected rows of a drop."""
    first, count = reading.bad[0], len(reading.bad)
    rows = f"{count} of {reading.rows_read} rows {'is' if count == 1 else 'are'} in inbox/rejected/{bad_file}"
    blank = sum(bad.reason.startswith(UNLABELLED) for bad in reading.bad)
    rows += f" ({blank} without a label)" if blank else ""
    place = _place(reading.line, first.column).removeprefix(", ")
    return f"{shown(reading.drop.name)}: {rows}; {place}: {first.reason} Correct that file and drop it."


def _place(line: int | None, column: str | None) -> str:
    return "".join([f", line {line}" if line else "", f", column {column!r}" if column else ""])
