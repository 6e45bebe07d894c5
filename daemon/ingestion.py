"""Ingestion: settled drops to one batch to one revision, so that every row is in the dataset exactly once.

Level 4. The order on disk: segment, journal *accepted*, DVC and git, their objects hashed and fsynced, journal
*committed*, drops removed. Whatever step a kill falls on, the next call of `step` goes on from the journal.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import structlog

from daemon import rows, schema
from daemon.dataset import Dataset, Segment
from daemon.errors import InvalidDrop
from daemon.home import Home
from daemon.inbox import Drop, Inbox
from daemon.journal import Journal
from daemon.schema import Schema
from daemon.settings import Settings
from daemon.status import utcnow

log = structlog.get_logger()


class Ingestion:
    """Takes drops from the inbox to the dataset; used by the loop thread."""

    def __init__(self, home: Home, settings: Settings, inbox: Inbox, dataset: Dataset, journal: Journal) -> None:
        self._home, self._limits = home, settings.inbox
        self._inbox, self._dataset, self._journal = inbox, dataset, journal
        self._committed = self._last_committed()
        self._cleared = False

    def step(self, now: float) -> bool:
        """Do the next thing there is to do; `now` is monotonic seconds. True: look again at once."""
        return self._finish_commit() or self._clear_accepted() or self._take_settled(now)

    def _take_settled(self, now: float) -> bool:
        names = self._inbox.settled(now)[: self._limits.batch_drops]
        found = schema.load(self._home.schema) if names else None
        if found is None:
            return False
        taken: dict[str, tuple[Drop, pa.Table]] = {}
        for name in names:
            self._take(name, found, taken)
        if taken:
            self._accept(
                [drop for drop, _ in taken.values()], pa.concat_tables(table for _, table in taken.values()), found
            )
        return bool(names)

    def _take(self, name: str, found: Schema, taken: dict[str, tuple[Drop, pa.Table]]) -> None:
        """Read and check one drop; a good one goes to `taken`, a bad one to rejected/, a known one is reported."""
        settled = utcnow()
        try:
            drop = self._inbox.read(name)
        except InvalidDrop as error:
            self._reject(name, None, error, settled)
            return
        if drop is None:
            return
        batch = self._journal.batch_of(drop.sha256)
        if batch is not None or drop.sha256 in taken:
            self._report_duplicate(drop, batch, settled)
            return
        try:
            checked = rows.parse(drop.data, name, found)
        except InvalidDrop as error:
            self._reject(name, drop, error, settled)
            return
        taken[drop.sha256] = (drop, rows.with_provenance(checked, drop.sha256, datetime.now(UTC), drop.source))

    def _accept(self, drops: list[Drop], table: pa.Table, found: Schema) -> None:
        segment = self._dataset.write(table.unify_dictionaries(), found)
        settled, counts = utcnow(), _counts(table)
        records = [
            _record(drop.name, drop, settled) | {"rows_read": counts[drop.sha256], "rows_accepted": counts[drop.sha256]}
            for drop in drops
        ]
        seq = self._journal.accept(_segment_record(segment), records)
        log.info("accepted", batch=seq, drops=len(drops), rows=segment.rows)

    def _finish_commit(self) -> bool:
        pending = self._journal.uncommitted()
        if pending is None:
            return False
        batches = [batch for batch in self._journal.batches() if batch["seq"] <= pending["seq"]]
        message = f"Batch {pending['seq']}: {pending['rows']} rows"
        revision = self._dataset.commit(pending["seq"], {batch["segment"]: batch["md5"] for batch in batches}, message)
        self._journal.commit(pending["seq"], revision.commit, revision.dvc_md5)
        self._committed, self._cleared = pending["seq"], False
        log.info("committed", batch=pending["seq"], revision=revision.commit[:10], dvc_md5=revision.dvc_md5[:10])
        return True

    def _clear_accepted(self) -> bool:
        """Remove the drops of the newest committed batch from the inbox; also the first thing after a crash."""
        if self._cleared or self._committed is None:
            return False
        for drop in self._journal.drops_in(self._committed):
            self._clear(drop["name"], drop["sha256"])
        self._cleared = True
        return True

    def _clear(self, name: str, sha256: str) -> None:
        try:
            self._inbox.clear(name, sha256)
        except OSError as error:
            self._leave(name, error)

    def _leave(self, name: str, error: OSError) -> None:
        """One file that can't be removed or moved must not keep the others waiting."""
        self._inbox.leave(name)
        message = f"{_shown(name)} can't be taken out of the inbox: {error.strerror or error}. Remove it by hand."
        self._journal.tell("problem", message, level="warning")
        log.warning("left_in_inbox", name=_shown(name), reason=str(error))

    def _last_committed(self) -> int | None:
        return max((batch["seq"] for batch in self._journal.batches() if batch["state"] == "committed"), default=None)

    def _report_duplicate(self, drop: Drop, batch: int | None, settled: str) -> None:
        where = f"batch {batch}" if batch is not None else "the same batch"
        reason = f"The same bytes are in {where} already; they count once."
        self._journal.refuse(
            _record(drop.name, drop, settled) | {"reason": reason},
            "duplicate",
            f"{_shown(drop.name)}: {reason}",
            batch=batch,
        )
        self._clear(drop.name, drop.sha256)

    def _reject(self, name: str, drop: Drop | None, error: InvalidDrop, settled: str) -> None:
        where = "".join(
            [f", line {error.line}" if error.line else "", f", column {error.column!r}" if error.column else ""]
        )
        record = _record(name, drop, settled) | {"reason": error.reason, "line": error.line, "column": error.column}
        report = {"name": _shown(name), "sha256": record["sha256"], "reason": error.reason}
        report |= {"line": error.line, "column": error.column, "rejected_at": utcnow()}
        message = f"{_shown(name)}{where}: {error.reason} It is kept in inbox/rejected."
        # Before the move: a kill between the two repeats the record, the other order would lose it.
        self._journal.refuse(record, "rejected", message)
        try:
            self._inbox.reject(name, report)
        except OSError as stuck:
            self._leave(name, stuck)
        log.warning("rejected", drop=record["sha256"], name=_shown(name), reason=error.reason)


def _record(name: str, drop: Drop | None, settled: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": _shown(name), "settled_at": settled}
    if drop is None:
        return facts | {"sha256": "", "source": "file", "bytes": 0}
    return facts | {"sha256": drop.sha256, "source": drop.source, "bytes": len(drop.data)}


def _shown(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become a replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")


def _segment_record(segment: Segment) -> dict[str, Any]:
    return {"segment": segment.name, "sha256": segment.sha256, "md5": segment.md5, "rows": segment.rows}


def _counts(table: pa.Table) -> dict[str, int]:
    counted: Iterable[dict[str, Any]] = table["_drop"].cast(pa.string()).value_counts().to_pylist()
    return {entry["values"]: entry["counts"] for entry in counted}
