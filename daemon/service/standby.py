"""Standing by: a home whose journal another machine writes waits for its turn, follows the leader and serves meanwhile.

Everything is imported and copied by then, so a take-over is the normal start without its slow parts.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from retraind.daemon.core import durable, home_integrity, logs
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import AlreadyRunning, Exit, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.journal.journal_server import JournalServer
from retraind.daemon.core.leader import identity
from retraind.daemon.core.leader.identity import Leader
from retraind.daemon.core.states import CheckName, EventKind
from retraind.daemon.core.status import Check
from retraind.daemon.leadership import decisions
from retraind.daemon.leadership.beat import Beat
from retraind.daemon.leadership.catching_up import catch_up
from retraind.daemon.leadership.decisions import Turn
from retraind.daemon.leadership.following import Following
from retraind.daemon.nodes.log_shipping import LogShipping
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.processes.systemd import notify
from retraind.daemon.schema.score_names import counted
from retraind.daemon.service import bootstrap
from retraind.daemon.storage import mlflow_tables
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server.leader_rows import LeaderRows, Sight
from retraind.daemon.storage.server.node_session import NodeSession
from retraind.daemon.stored.schema import RECORDED

if TYPE_CHECKING:
    from retraind.daemon.service.parts import Frame

log = logs.Logger()

LOOK_SECONDS = 0.1
"""Interval of looks at the leader's lock."""

SAY_SECONDS = 1.0
"""Interval of publishing the status."""

AGAIN_SECONDS = 1.0
"""Pause before the server is asked again after a failure."""

HANG_SECONDS = 60.0
"""A look that takes longer counts as hanging."""


def join(home: Home, rows: LeaderRows) -> None:
    """Take the id of the journal for a home that has no data yet; raises Unavailable."""
    named, journal = journal_server.named(home.journal), rows.journal()
    if named is not None and journal is not None and journal != named.journal:
        journal_server.write(home, JournalServer(named.url, journal))
        log.info("joined", journal=journal)


def lead(frame: "Frame", store: ObjectStore, url: str, reach: Callable[[Leader], Journal]) -> Journal:
    """The journal as its leader, after standing by if another one leads; then beat, and bring the home up to the journal.

    `url` is that of this home's pages; `reach` opens the journal. Raises Stopped when the service must end.
    """
    home, settings = frame.home, frame.settings
    leader, fresh = identity.identity(home, settings, url), not home_integrity.has_data_or_model(home)
    while True:
        try:
            if fresh:
                _join(frame)
            journal = reach(leader)
            break
        except AlreadyRunning as error:
            log.info("another_leads", reason=str(error))
        leader = _until_turn(frame, store, identity.identity(home, settings, url), fresh=fresh)
    frame.stack.callback(journal.close)
    term = journal.term
    assert term is not None
    beat = Beat(settings.journal.url, term.epoch, settings.leader.beat_seconds, lambda: frame.heartbeat.alive, deposed)
    beat.start()
    frame.stack.callback(beat.close)
    if term.overtaken:
        catch_up(home, journal)
    if settings.bootstrap == "iris" and not journal.batches.last() and journal.key_values.get(RECORDED) is None:
        bootstrap.begin(home)
    journal.events.record(EventKind.LEADING, f"{leader.name} leads (epoch {term.epoch}): {term.reason}")
    log.warning("leading", name=leader.name, epoch=term.epoch, reason=term.reason)
    return journal


def _join(frame: "Frame") -> None:
    """Take the id of the journal, once the server can be asked; raises Stopped."""
    while True:
        with frame.heartbeat.step("waiting for the journal's server", HANG_SECONDS), frame.wake.interruptible():
            try:
                with _rows(frame.settings.journal.url) as rows:
                    join(frame.home, rows)
            except Unavailable as error:
                frame.heartbeat.complain(CheckName.JOURNAL, str(error))
                time.sleep(AGAIN_SECONDS)
                continue
        frame.heartbeat.complain(CheckName.JOURNAL, "")
        return


def _until_turn(frame: "Frame", store: ObjectStore, leader: Leader, *, fresh: bool) -> Leader:
    """Wait until the lock is free, or the leader silent and its session ended; returns who takes it.

    `fresh`: the home has no data, and may have been here before the journal. Raises Stopped when the service must end.
    """
    log.info("standing_by", name=leader.name)
    notify(READY=1)
    _make_registry(frame.home)
    wait = _Wait(frame, fresh=fresh)
    with _following(frame, store, wait), frame.wake.interruptible():
        while True:
            try:
                with _rows(frame.settings.journal.url) as rows:
                    silence = wait.watch(rows)
            except Unavailable as error:
                wait.lost(error)
                time.sleep(AGAIN_SECONDS)
                continue
            break
    frame.heartbeat.lead()
    log.warning("taking_over", name=leader.name, silence=silence)
    return identity.after_silence(leader, silence)


def deposed() -> None:
    """End the process at once, because another one leads: its workers answer on until the next start."""
    log.error("deposed", hint="Another machine leads. A restart stands by.")
    os._exit(Exit.JOURNAL_TAKEN)


class _Wait:
    """The wait of one standby: looks at the leader, and publishes what it sees."""

    def __init__(self, frame: "Frame", *, fresh: bool) -> None:
        self._frame, self._fresh = frame, fresh
        self._stale = frame.settings.leader.stale_seconds
        self._again = False
        """Whether the connection to the server was lost."""
        self._sight: Sight | None = None
        self._said_at = 0.0
        self.following: Following | None = None

    def watch(self, rows: LeaderRows) -> float | None:
        """Look until the lock can be taken; the silence (seconds) of the leader that was ended, None if the lock was free."""
        connected = time.monotonic()
        while True:
            with self._frame.heartbeat.step("standing by", HANG_SECONDS):
                self._sight = rows.look()
                if self._fresh and self._sight is not None:
                    join(self._frame.home, rows)
                    self._fresh = False
                waited = time.monotonic() - connected
                act = decisions.turn(self._sight, self._stale, waited, again=self._again)
                if act is Turn.TAKE:
                    return None
                if act is Turn.END and self._sight is not None:
                    silence = rows.end(self._sight.leadership.epoch, self._stale)
                    if silence is not None:
                        return silence
                self._say("")
            time.sleep(LOOK_SECONDS)

    def lost(self, error: Unavailable) -> None:
        """Note that the server can't be asked."""
        if not self._again:
            log.warning("journal_away", reason=str(error))
        self._again, self._said_at = True, 0.0
        with self._frame.heartbeat.step("standing by", HANG_SECONDS):
            self._say(str(error))

    def _say(self, problem: str) -> None:
        now = time.monotonic()
        if now - self._said_at < SAY_SECONDS:
            return
        self._said_at = now
        if self._frame.settling is not None:  # so that drops are settled when this home leads
            self._frame.settling.look(self._frame.home, now)
        with suppress(OSError):
            self._frame.heartbeat.stand_by(self._fields(problem))

    def _fields(self, problem: str) -> Mapping[str, object]:
        """The status of a standby."""
        record = self._sight.leadership if self._sight else None
        count, size = _waiting(self._frame.home)
        drops = f"{counted(count, 'drop')} {'waits' if count == 1 else 'wait'} here; " if count else ""
        leads = record.sentence if record else "no machine leads yet."
        behind = self.following.problem if self.following else ""
        copies = self.following.sentence if self.following else ""
        checks = {
            CheckName.LEADER: Check(ok=not problem, detail=problem or f"{drops}{leads} {copies}"),
            CheckName.STORAGE: Check(ok=not behind, detail=behind or copies),
        }
        return {
            "leadership": record,
            "backlog_files": count,
            "backlog_bytes": size,
            "checks": {name.value: check for name, check in checks.items()},
        }


@contextmanager
def _following(frame: "Frame", store: ObjectStore, wait: _Wait) -> Iterator[None]:
    """Follow the leader and ship the workers' finished logs to it."""
    shipping = LogShipping(frame.home, frame.settings, store)
    wait.following = following = Following(frame.home, frame.settings.journal.url, store)
    try:
        following.start()
        shipping.start()
        yield
    finally:
        following.close()
        shipping.close()


def _make_registry(home: Home) -> None:
    """Make the file of MLflow's database ahead; without one, a pointer of before says nothing, and would look like a loss.

    A database on a server belongs to the leader.
    """
    if mlflow_server.beside(home) is not None:
        return
    if not home.mlflow.exists():
        durable.remove(home.pointer)
    with suppress(Unavailable, OSError):  # the take-over tries again, and says why it can't
        mlflow_tables.open_or_make(home)


@contextmanager
def _rows(url: str) -> Iterator[LeaderRows]:
    session = NodeSession(url, f"retraind standby {os.getpid()}")
    try:
        yield LeaderRows(session)
    finally:
        session.close()


def _waiting(home: Home) -> tuple[int, int]:
    """Number and bytes of the files that wait in the inbox."""
    count = size = 0
    with suppress(OSError), os.scandir(home.inbox) as entries:
        for entry in entries:
            if not ignored(entry.name) and entry.is_file(follow_symlinks=False):
                count, size = count + 1, size + entry.stat(follow_symlinks=False).st_size
    return count, size
