"""How the last daemon of a home ended: in order, or killed. A killed one leaves no event of its own, so the next one reports it."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import Status
from retraind.daemon.storage.journal import Journal

BEATING = ("ready", "draining")
"""States of a daemon that had started; a start that fails leaves another one, whose time says nothing of the end."""


class Start(NamedTuple):
    """The event on a start."""

    level: Level
    message: str


def start(journal: Journal, last: Status | None, pid: int, now: datetime) -> Start:
    """The event on the start of the daemon `pid` at `now`; `last` is the status that was published before it."""
    begun, ended = (journal.events.newest(kind) for kind in (EventKind.STARTED, EventKind.STOPPED))
    message = f"The daemon has started (pid {pid})"
    if begun is None or (ended is not None and ended["id"] > begun["id"]):
        return Start(Level.INFO, f"{message}.")
    beat = ""
    if last is not None and last.state in BEATING:
        gone = now - datetime.fromisoformat(last.at).astimezone(UTC)
        beat = f" Its last heartbeat came at {last.at}, {_length(gone)} before this start."
    return Start(
        Level.WARNING, f"{message} after an unclean end: the last one was killed, or the machine stopped.{beat}"
    )


def _length(time: timedelta) -> str:
    seconds = max(0.0, time.total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
