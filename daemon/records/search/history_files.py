"""The index of files of old predictions: read-only, in any process."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from retraind.daemon.core.journal.history_files import HistoryFile, place_of, writers_of
from retraind.daemon.records.query import LAST, number, texts, typed

if TYPE_CHECKING:
    from retraind.daemon.records.search.old_predictions import Stretch

SOME = 64
"""Entries that are read at once."""

FEW = 20
"""Up to this many writers, the database chooses the files; otherwise all entries are read."""

LOGGED = "SELECT COUNT(*) FROM history_logs WHERE name = ?"


def all_files(journal: Path) -> list[HistoryFile]:
    """Every file, oldest first."""
    return typed(HistoryFile, journal, "SELECT * FROM history_files ORDER BY last_seq")


class Within(NamedTuple):
    """The files that may have what is searched; None: any."""

    since: str | None = None
    until: str | None = None
    """UTC, ISO 8601."""
    writer: str | None = None
    """The identity in the ids."""


def within(journal: Path, stretch: "Stretch", chosen: Within) -> Iterator[HistoryFile]:
    """The files of a stretch in the order of its numbers; raises sqlite3.Error."""
    ends = "first_seq < ? AND last_seq > ?"
    times = "last_at >= ? AND first_at < ?"
    order = "first_seq > ? {} ORDER BY first_seq" if stretch.upwards else "last_seq < ? {} ORDER BY last_seq DESC"
    writer = "" if chosen.writer is None else "AND writers LIKE ?"
    query = f"SELECT * FROM history_files WHERE {ends} AND {times} AND {order.format(writer)} LIMIT {SOME}"
    place, writers = -1 if stretch.upwards else LAST, () if chosen.writer is None else (_pattern(chosen.writer),)
    while True:
        values = stretch.before, stretch.after, chosen.since or "", chosen.until or "~", place, *writers
        files = typed(HistoryFile, journal, query, *values)
        yield from files
        if len(files) < SOME:
            return
        place = files[-1]["first_seq" if stretch.upwards else "last_seq"]


def names(journal: Path, name: str) -> bool:
    """Whether there is an entry for a file."""
    return bool(number(journal, "SELECT COUNT(*) FROM history_files WHERE object = ?", name))


def totals(journal: Path) -> tuple[int, int]:
    """The number of files, and of the predictions in them."""
    files = "SELECT COUNT(*) FROM history_files"
    rows = "SELECT COALESCE(SUM(rows), 0) FROM history_files"
    return number(journal, files) or 0, number(journal, rows) or 0


def logs(journal: Path) -> set[str]:
    """The names of all log files whose predictions are in files."""
    return set(texts(journal, "SELECT name FROM history_logs"))


def last_seq(journal: Path) -> int:
    """The largest number of any prediction in the files; 0 without files."""
    return number(journal, "SELECT MAX(last_seq) FROM history_files") or 0


def waiting_logs(history: Path) -> frozenset[str]:
    """The names of log files with rows in the history's database that are to become files."""
    try:
        return frozenset(texts(history, "SELECT file FROM firsts"))
    except sqlite3.Error:  # its writer reports it, or begins another one
        return frozenset()


def is_archived(journal: Path, log: str) -> bool:
    """Whether the predictions of a log file are in recorded files."""
    return bool(number(journal, LOGGED, log))


def holding(journal: Path, ids: Sequence[str]) -> list[tuple[HistoryFile, list[str]]]:
    """The files that may hold some of these predictions, each with their ids."""
    by_writer: dict[str, list[tuple[int, str]]] = {}
    for prediction in ids:
        identity, serial, _ = place_of(prediction)
        by_writer.setdefault(identity, []).append((serial, prediction))
    holders = []
    for file in _of_writers(journal, list(by_writer)) if by_writer else []:
        ranges = writers_of(file)
        some = [
            prediction
            for identity in ranges.keys() & by_writer.keys()
            for serial, prediction in by_writer[identity]
            if ranges[identity][0] <= serial <= ranges[identity][1]
        ]
        if some:
            holders.append((file, some))
    return holders


def _of_writers(journal: Path, identities: Sequence[str]) -> list[HistoryFile]:
    if len(identities) > FEW:
        return all_files(journal)
    likes = " OR ".join("writers LIKE ?" for _ in identities)
    patterns = map(_pattern, identities)
    return typed(HistoryFile, journal, f"SELECT * FROM history_files WHERE {likes} ORDER BY last_seq", *patterns)


def _pattern(identity: str) -> str:
    return f"%[{json.dumps(identity)}, %"
