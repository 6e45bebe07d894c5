"""Held drops: suspicious ones wait for a person, who accepts or rejects them.

A held drop stays in the inbox unchanged, and none of its rows is accepted; the journal's table `held` has the reason.
So nothing has to be undone. A drop that a person accepts is read like any other, but its exam can't hold it again. A
drop that a person rejects is rejected when it is read next. The decision is recorded first, so a kill in between
changes nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from retraind.daemon.core import requests
from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import shown
from retraind.daemon.core.journal_rows import ExamRecord, HeldRecord, HeldRow
from retraind.daemon.core.requests import Request
from retraind.daemon.core.states import Hold, RequestState
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.ingest import exam_runner
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.ingest.refused_drops import Refused
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.score_names import counted
from retraind.daemon.storage.journal import Journal

KINDS = {"accept": Hold.LET_IN, "reject": Hold.TURNED_AWAY}
"""Requests that this module answers, and the drop's state afterwards."""


class Suspect(NamedTuple):
    """A drop to hold, and its exam."""

    reading: Reading
    exam: ExamRecord


class ReviewQueue:
    """The drops that wait for a person; used by the loop thread.

    With `holds`, suspicious drops wait. If the journal is `shared` with a standby, some are in the inbox of another machine.
    """

    def __init__(self, home: Home, inbox: Inbox, journal: Journal, *, holds: bool, shared: bool = False) -> None:
        self._home, self._inbox, self._journal, self.holds, self._shared = home, inbox, journal, holds, shared
        self._here: set[str] = set()
        """The sha256 of held drops that were seen in this inbox since the start."""
        self._known: tuple[int, Sequence[HeldRow]] = (-1, ())

    def _rows(self) -> Sequence[HeldRow]:
        """The journal's rows, queried again only after a write to them."""
        if self._known[0] != self._journal.writes:
            self._known = self._journal.writes, self._journal.held.all()
        return self._known[1]

    # Holding

    def most_drops(self, schema: Schema) -> int | None:
        """Maximum number of files in a batch, so that each large enough drop has its exam; None: no limit.

        The served version's schema has at most the columns of `schema`, or it can't examine anything.
        """
        return exam_runner.most_drops(schema) if self.holds else None

    def suspects(self, suspicious: Sequence[ExamRecord], readings: Sequence[Reading]) -> list[Suspect]:
        """The drops just read that must be held: their exams are in `suspicious`, and no person has accepted them.

        Late labels are never held, because they are the evidence for rolling a bad version back.
        """
        exams = {exam["drop"]: exam for exam in suspicious} if self.holds else {}
        rows = self._journal.held.among(exams)
        return [
            Suspect(reading, exams[reading.drop.sha256])
            for reading in readings
            if reading.drop.sha256 in exams.keys() - rows.keys() and reading.source != "label"
        ]

    def record(self, suspects: Sequence[Suspect]) -> None:
        """Record that drops are held; call `keep` once that is durable."""
        for suspect in suspects:
            self._journal.held.hold(_record(suspect))

    def keep(self, drop: Drop) -> None:
        """Keep a held drop in the inbox."""
        self._inbox.skipped.keep(drop.name, drop.stamp, drop.sha256)

    def sort(self, opened: dict[str, Drop], refused: Refused) -> None:
        """Remove from `opened` the drops that wait for a person; those that a person rejected go to `refused`."""
        for row in self._journal.held.among(opened).values():
            if row["state"] == Hold.WAITING:
                self.keep(opened.pop(row["sha256"]))
            elif row["state"] == Hold.TURNED_AWAY:
                drop = opened.pop(row["sha256"])
                reading = Reading(drop, rows_read=row["rows_read"], rows_known=row["rows_known"])
                refused.reject(drop.name, drop.stamp, reading, InvalidDrop(_rejection(row)), row["by"])

    def look(self) -> None:
        """Record which held files were renamed or have left the inbox. Call it after a scan."""
        files, unread = self._inbox.skipped.files, self._inbox.unread
        self._here |= files.keys()
        for row in self._rows():
            if row["state"] == Hold.LET_IN:  # until its rows are accepted, or it is rejected for another reason
                continue
            waits, names = row["state"] == Hold.WAITING, [shown(name) for name in files.get(row["sha256"], [])]
            if row["bytes"] in unread:  # a file of this size may be this drop, renamed or touched
                continue
            if not names and self._shared and row["sha256"] not in self._here:
                continue  # it was held by another leader, and is in the inbox of that machine
            if not names and self._inbox.awaits(row["name"]):
                continue  # its bucket is not listed yet
            if not names:
                self._journal.held.remove(row, report=waits)
            elif row["name"] not in names:
                self._journal.held.rename(row["sha256"], min(names))

    # Deciding

    def answer(self) -> None:
        """Carry out all waiting requests to accept or reject."""
        waiting = [one for one in requests.pending(self._home) if one.kind in KINDS]
        if not waiting:
            return
        with self._journal.together():
            for request in waiting:
                self._journal.requests.take(request.id, request.kind, request.drop or "", request.at.isoformat())
                entry = self._journal.requests.get(request.id)
                if entry is not None and entry["state"] == RequestState.QUEUED:  # otherwise a kill left only its file
                    self._journal.requests.end(request.id, *self._decide(request))
        for request in waiting:
            self._inbox.skipped.release(request.drop or "")
        requests.consume(self._home, *waiting)

    def _decide(self, request: Request) -> tuple[RequestState, str]:
        row = self._journal.held.among([request.drop or ""]).get(request.drop or "")
        if row is None:
            return RequestState.REFUSED, f"No drop {request.drop} waits; `retraind drops` lists those that do."
        if row["state"] != Hold.WAITING:
            return RequestState.REFUSED, f"{row['name']} no longer waits: it was {row['state']} ({row['by']})."
        state = KINDS[request.kind]
        self._journal.held.decide(row["sha256"], state, request.by)
        if state is Hold.LET_IN:
            return RequestState.DONE, f"{row['name']} is accepted: its rows are read next."
        return RequestState.DONE, f"{row['name']} is rejected: it goes to inbox/rejected."

    def sentence(self) -> str | None:
        """A sentence on the drops that wait for a person, with the reason of the oldest; None if none waits."""
        waiting = [row for row in self._rows() if row["state"] == Hold.WAITING]
        return _sentence(waiting) if waiting else None


def _record(suspect: Suspect) -> HeldRecord:
    drop, exam = suspect.reading.drop, suspect.exam
    return {
        "sha256": drop.sha256,
        "name": shown(drop.name),
        "bytes": drop.bytes,
        "seen_at": drop.seen_at,
        "rows_read": suspect.reading.rows_read,
        "rows_known": suspect.reading.rows_known,
        "version": exam["version"],
        "reason": exam["reason"],
    }


def _rejection(row: HeldRow) -> str:
    return f"It was held because {row['reason']}, and rejected by request ({row['by']})."


def _sentence(waiting: Sequence[HeldRow]) -> str:
    oldest, count = waiting[0], len(waiting)
    first = "" if count == 1 else "the oldest is "
    waits = f"{counted(count, 'drop')} {'waits' if count == 1 else 'wait'} for you"
    return f"{waits}: {first}{oldest['name']}, because {oldest['reason']}. Decide with `retraind accept` or `retraind reject`."
