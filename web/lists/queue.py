"""The queue: everything that waits in a home, why it waits, and what happens next. The folders are read at each call.

Names of the inbox are those of other programs. Nothing there is opened or followed.
"""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypedDict

from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import PREDICT, RESERVED, ignored, shown
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import RequestState
from retraind.daemon.core.status import Status
from retraind.daemon.records.drops.held import HeldDrop
from retraind.daemon.records.records import Records
from retraind.web.dashboard import inbox_files, next_steps
from retraind.web.dashboard.inbox_files import FolderEntry

SHOWN = 100
"""Number of entries of each kind that are named; all are counted."""

REJECTED = "rejected"

UNFINISHED = "its name is that of an unfinished file (such as .part or .tmp), so it is ignored until it is renamed"
HIDDEN = "its name begins with a dot, so it is ignored"
SETTLED = "it is finished and is read with the next batch"
ABSENT = "the daemon does not run; it is read when that starts"


class Waiting(TypedDict):
    """A file that waits; `since` is the time of its last change (UTC)."""

    name: str
    bytes: int
    since: str
    why: str


class Files(TypedDict):
    """Waiting files, oldest first; `total` and `bytes` count all of them."""

    files: list[Waiting]
    total: int
    bytes: int


class Entry(TypedDict):
    """An entry that is not a regular file."""

    name: str
    why: str


class Asked(TypedDict):
    """A request that the daemon has not answered."""

    id: str
    kind: str
    about: str
    by: str
    at: str
    state: str


class Running(TypedDict):
    """The training that runs; seconds so far, and limits (0: none)."""

    run: int
    reason: str
    stage: str
    since: str
    seconds: float
    left: float | None
    candidate: int | None
    candidates: int | None
    budget_seconds: float
    timeout_seconds: float


class Queue(TypedDict):
    """Everything that waits."""

    at: str
    running: bool
    """Whether the daemon runs."""
    next: list[str]
    """Sentences on what happens next, and when."""
    inbox: Files
    ignored: Files
    """Files with names that the inbox ignores."""
    other: list[Entry]
    """Entries that are not regular files."""
    held: list[HeldDrop]
    held_total: int
    requests: list[Asked]
    training: Running | None
    predict: Files
    outbox: Files
    problem: str
    """Why a folder can't be read; empty if all can."""


def read(home: Home, records: Records, settings: Settings, status: Status | None) -> Queue:
    """The queue now; raises sqlite3.Error if the records can't be read."""
    alive, now = status is not None and status.alive, datetime.now(UTC)
    held_names = records.held.names()
    entries, problem = inbox_files.entries(home)
    files = [item for item in entries if stat.S_ISREG(item.status.st_mode)]
    counted = inbox_files.waiting(entries, held_names)
    apart = [item for item in files if ignored(item.name) and item.name not in RESERVED]
    answers, troubles = inbox_files.entries(home, PREDICT)
    answered, trouble = _outbox(home)
    return {
        "at": _time(now.timestamp()),
        "running": alive,
        "next": next_steps.sentences(status, records.runs.newest(1), now),
        "inbox": _files(counted, lambda item: _reason(item, status if alive else None)),
        "ignored": _files(apart, lambda item: HIDDEN if item.name.startswith(".") else UNFINISHED),
        "other": [_entry(item) for item in entries if not _is_expected(item)][:SHOWN],
        "held": records.held.oldest(SHOWN),
        "held_total": records.held.total(),
        "requests": _requests(home, records),
        "training": _training(status, settings, now) if status and alive else None,
        "predict": _files(
            [item for item in answers if stat.S_ISREG(item.status.st_mode) and not ignored(item.name)],
            lambda _: _predicting(status if alive else None),
        ),
        "outbox": _files(answered, lambda _: "answers, to be taken away"),
        "problem": " ".join(filter(None, (problem, troubles, trouble))),
    }


def _outbox(home: Home) -> tuple[list[FolderEntry], str]:
    try:
        with os.scandir(home.outbox) as entries:
            files = [FolderEntry(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], f"{home.outbox} can't be read: {error.strerror}."
    return [item for item in files if stat.S_ISREG(item.status.st_mode) and not item.name.startswith(".")], ""


def _is_expected(item: FolderEntry) -> bool:
    """Whether an entry of the inbox is a file, or one of the folders that belong there."""
    folder = stat.S_ISDIR(item.status.st_mode) and item.name in (REJECTED, PREDICT)
    return folder or stat.S_ISREG(item.status.st_mode) or ignored(item.name)


KINDS = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def _entry(item: FolderEntry) -> Entry:
    kind = KINDS.get(stat.S_IFMT(item.status.st_mode), "a device")
    return {
        "name": shown(item.name),
        "why": f"{kind}, which is never followed, opened or ingested: drop the file itself",
    }


def _reason(item: FolderEntry, status: Status | None) -> str:
    """Why a file of the inbox has not been taken; `status` is None without a running daemon."""
    if status is None:
        return ABSENT
    if blocked := next_steps.blocked(status):
        return blocked
    return status.waits.get(shown(item.name), SETTLED)


def _predicting(status: Status | None) -> str:
    if status is None:
        return "the daemon does not run; it is answered when that starts"
    check = status.checks.get("outbox")
    return check.detail if check else "it is answered once it is finished"


def _files(listed: list[FolderEntry], why: Callable[[FolderEntry], str]) -> Files:
    oldest = sorted(listed, key=lambda item: (item.status.st_mtime_ns, item.name))
    rows: list[Waiting] = [
        {
            "name": shown(item.name),
            "bytes": item.status.st_size,
            "since": _time(item.status.st_mtime),
            "why": why(item),
        }
        for item in oldest[:SHOWN]
    ]
    return {"files": rows, "total": len(listed), "bytes": sum(item.status.st_size for item in listed)}


def _requests(home: Home, records: Records) -> list[Asked]:
    """Requests in their files, and those that the journal has as queued, oldest first."""
    files: list[Asked] = [
        {
            "id": item.id,
            "kind": item.kind,
            "about": _about(item),
            "by": item.by,
            "at": item.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "state": RequestState.PENDING,
        }
        for item in requests.pending(home)
    ]
    known = {item["id"] for item in files}
    queued: list[Asked] = [
        {"id": row["id"], "kind": row["kind"], "about": row["detail"], "by": "", "at": row["at"], "state": row["state"]}
        for row in records.requests.queued(SHOWN)
        if row["id"] not in known
    ]
    return sorted([*files, *queued], key=lambda item: item["at"])[:SHOWN]


def _about(item: requests.Request) -> str:
    if item.version is not None:
        return f"version {item.version}"
    if item.drop:
        return f"drop {item.drop[:12]}"
    if item.event is not None:
        return f"event {item.event}"
    return "forced" if item.force else ""


def _training(status: Status, settings: Settings, now: datetime) -> Running | None:
    training = status.training
    if training is None:
        return None
    return {
        "run": training.run,
        "reason": training.reason,
        "stage": training.stage,
        "since": training.since,
        "seconds": max(0.0, round((now - datetime.fromisoformat(training.since)).total_seconds(), 1)),
        "left": training.left,
        "candidate": training.candidate,
        "candidates": training.candidates,
        "budget_seconds": settings.train.budget_seconds,
        "timeout_seconds": settings.train.timeout_seconds,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
