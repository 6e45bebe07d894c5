"""The index of files of old predictions: read-only, in any process."""

import json
from collections.abc import Sequence
from pathlib import Path

from retraind.daemon.core.journal.history_files import HistoryFile, place_of, writers_of
from retraind.daemon.records.query import LAST, number, typed

FEW = 20
"""Up to this many writers, the database chooses the files; otherwise all entries are read."""

LOGGED = "SELECT COUNT(*) FROM history_logs WHERE name = ?"


def all_files(journal: Path) -> list[HistoryFile]:
    """Every file, oldest first."""
    return typed(HistoryFile, journal, "SELECT * FROM history_files ORDER BY last_seq")


def below(journal: Path, seq: int, most: int, above: int = 0) -> list[HistoryFile]:
    """Files with predictions between two numbers, those with the newest first."""
    query = "SELECT * FROM history_files WHERE first_seq < ? AND last_seq > ? ORDER BY last_seq DESC LIMIT ?"
    return typed(HistoryFile, journal, query, seq, above, most)


def above(journal: Path, seq: int, most: int, below: int = LAST) -> list[HistoryFile]:
    """Files with predictions between two numbers, those with the oldest first."""
    query = "SELECT * FROM history_files WHERE last_seq > ? AND first_seq < ? ORDER BY first_seq LIMIT ?"
    return typed(HistoryFile, journal, query, seq, below, most)


def last_seq(journal: Path) -> int:
    """The largest number of any prediction in the files; 0 without files."""
    return number(journal, "SELECT MAX(last_seq) FROM history_files") or 0


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
    patterns = [f"%[{json.dumps(identity)}, %" for identity in identities]
    return typed(HistoryFile, journal, f"SELECT * FROM history_files WHERE {likes} ORDER BY last_seq", *patterns)
