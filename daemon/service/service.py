"""The running service: every part opened in order and closed in reverse.

The composition root. The HTTP workers start first and stop last: they predict while the rest is still importing, and
until everything else has ended.
"""

import json
import os
import queue
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, TypedDict

from retraind import release
from retraind.daemon.core import durable, garbage_collector, logs, status
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import AlreadyRunning
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.settings import Settings, candidate_packages, in_force
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import Status, utcnow
from retraind.daemon.inbox.settling import Settling
from retraind.daemon.processes.child import Trainer
from retraind.daemon.processes.sockets import reachable
from retraind.daemon.processes.stop_signals import Stopped, Wake
from retraind.daemon.processes.systemd import notify
from retraind.daemon.processes.worker_keeper import WorkerKeeper
from retraind.daemon.processes.workers import Workers
from retraind.daemon.service import serving_nodes
from retraind.daemon.service.heartbeat import START_SECONDS, Heartbeat

if TYPE_CHECKING:
    from retraind.daemon.service.loop import Loop
    from retraind.daemon.storage.journal import Journal

log = logs.Logger()

DOOR_SECONDS = 0.02
"""Interval of checks for the end of a daemon. The next one, which systemd may start at once, takes longer to start."""

FIGURES = {"backlog_files", "backlog_bytes", "rows", "rows_pending", "threshold_rows"}
"""Fields of the status on the data, which a restart does not change."""


def run(home: Home, settings: Settings, wake: Wake, *, as_json: bool = False) -> None:
    """Run everything until SIGTERM or SIGINT, which `wake` listens for; raises AlreadyRunning, PortTaken, BadSchema, BadSettings."""
    # Its default action ends the process, and the kernel sends it for files that others open (leases, see
    # daemon/inbox/open_writers.py).
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with ExitStack() as stack:
        stack.enter_context(locked(home))
        if settings.leader.standby:
            serving_nodes.require_engines(settings, "leader.standby")
        wake.watch(home.requests)
        prepare(home, settings)
        in_force.publish(home, settings)
        journal_server.settle(home, settings.journal.url)
        mlflow_server.settle(home, settings.mlflow.url, settings.storage.url)
        if not settings.leader.standby:  # homes of one leader share its databases
            journal_server.require_original(home)
            mlflow_server.require_original(home)
        last = status.read(home.status)
        heartbeat = Heartbeat(home.status, starting(home))
        stack.callback(heartbeat.stop)
        heartbeat.start()
        keeper = WorkerKeeper(home, settings, slots(settings), wake)
        stack.callback(keeper.close)
        handle_sighup(wake, keeper.renew)
        keeper.start()
        announce(keeper.workers, settings, as_json=as_json)
        with suppress(Stopped):
            _run_loop(home, settings, keeper, wake, heartbeat, stack, last)
        heartbeat.drain()


def serve(home: Home, settings: Settings, wake: Wake, *, as_json: bool = False) -> None:
    """Run the HTTP workers alone until SIGTERM or SIGINT, which `wake` listens for, and in a node's home its agent.

    Raises PortTaken; for a node AlreadyRunning and BadSettings, too.
    """
    with ExitStack() as stack:
        is_node = settings.role == "node"
        if is_node:
            stack.enter_context(locked(home))
            serving_nodes.require(home, settings)
            make_token(home)
        home.make()
        in_force.publish(home, settings)
        workers = Workers(home, settings, slots(settings), wake)
        handle_sighup(wake, workers.renew)
        announce(workers, settings, as_json=as_json)
        if is_node:
            stack.callback(serving_nodes.send_rest, home, settings)
        stack.callback(workers.close)
        workers.supervise(time.monotonic())
        if is_node:
            stack.enter_context(serving_nodes.following(home, settings))
            stack.enter_context(serving_nodes.gathering(home, settings))
        notify(READY=1)
        while not wake.stopping:
            for sentence in workers.supervise(time.monotonic()):
                log.warning("worker", detail=sentence)
            notify(WATCHDOG=1)
            with suppress(queue.Empty):
                wake.queue.get(timeout=1)


def _run_loop(
    home: Home,
    settings: Settings,
    keeper: WorkerKeeper,
    wake: Wake,
    heartbeat: Heartbeat,
    stack: ExitStack,
    last: Status | None,
) -> None:
    with _losing_history(home):
        loop = compose(home, settings, keeper, wake, heartbeat, stack)
        journal = loop.parts.journal
        _record_start(journal, settings, last)
        log.info("started", home=str(home.root), pid=os.getpid(), version=release.VERSION, commit=release.COMMIT)
        if absent := candidate_packages.objection(settings.train.candidates):
            log.warning("candidates_not_installed", detail=absent)
            journal.events.record(EventKind.PROBLEM, absent, level=Level.WARNING)
    notify(READY=1)
    loop.run()
    notify(STOPPING=1)
    journal.events.record(EventKind.STOPPED, "The daemon was asked to stop.")
    log.info("stopping")


def _record_start(journal: "Journal", settings: Settings, last: Status | None) -> None:
    """Record the start, and whether the daemon before it, whose newest status is `last`, ended in order."""
    from retraind.daemon.attention import last_end  # here, because it imports SQLAlchemy

    # Homes of one leader share a journal, in which a take-over is an event of its own.
    begun = None if settings.leader.standby else last_end.start(journal, last, os.getpid(), datetime.now(UTC))
    level, message = begun or (Level.INFO, f"The daemon has started (pid {os.getpid()}).")
    journal.events.record(EventKind.STARTED, message, level=level)


@contextmanager
def _losing_history(home: Home) -> Iterator[None]:
    """Raise HistoryLost for a start that fails because the journal disappears during it: no later start can succeed."""
    try:
        yield
    except Exception:  # the journal's own error, or that of SQLite where records are read
        from retraind.daemon.dataset import journal_match

        journal_match.require_journal(home)
        raise


def compose(
    home: Home, settings: Settings, keeper: WorkerKeeper, wake: Wake, heartbeat: Heartbeat, stack: ExitStack
) -> "Loop":
    """Open the parts in order and return the loop that runs them; `stack` closes them in reverse.

    Raises Stopped when the service must end before that is done. Tests and the simulation also use this to compose a
    service.
    """
    settling = Settling(settings.inbox.settle_seconds)
    settling.look(home, time.monotonic())
    trainer = Trainer(home, settings.train.nice, wake, settings.train.idle_seconds, settings.log)
    stack.callback(trainer.close)
    if not home.pointer.exists() and _drops_wait(home):
        trainer.keep_awake(
            time.monotonic()
        )  # nothing is served before the first model, so the trainer imports at the same time
    trainer.supervise(time.monotonic())
    # Imported here, after the workers have started.
    with heartbeat.step("importing", START_SECONDS), wake.interruptible(), garbage_collector.importing():
        from retraind.daemon.service.loop import Loop
        from retraind.daemon.service.parts import Frame, open_parts

    return Loop(open_parts(Frame(home, settings, wake, heartbeat, stack, settling), keeper, trainer))


def _drops_wait(home: Home) -> bool:
    """Whether the inbox has files, judged by their names only; the loop checks them more carefully."""
    try:
        return any(entry.is_file() and not entry.name.startswith(".") for entry in os.scandir(home.inbox))
    except OSError:
        return False  # the check `inbox` says why, and the trainer starts when a drop can be read


def handle_sighup(wake: Wake, renew: Callable[[], None]) -> None:
    """Let SIGHUP replace the workers one after the other; from a closed terminal it ends the service, as usual."""
    terminal = sys.stderr.isatty()

    def hang_up(number: int, _frame: FrameType | None) -> None:
        if terminal:
            wake.stop(number)
        else:
            renew()
            wake()

    signal.signal(signal.SIGHUP, hang_up)


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """Hold the home's lock; raises AlreadyRunning. The kernel releases it however the process ends."""
    home.require_plain_path()
    home.make()
    fd = durable.try_lock(home.lock)
    if fd is None:
        owner = home.lock.read_text().strip() or "unknown"
        raise AlreadyRunning(
            f"Another daemon (pid {owner}) owns {home.root}.", hint="Stop it first, or use another --home."
        )
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def locked_once_stopped(home: Home, waits: Callable[[], object]) -> Iterator[None]:
    """As `locked`, but wait for a running daemon to end, after a call of `waits`."""
    with ExitStack() as stack:
        asked = False
        while True:
            try:
                stack.enter_context(locked(home))
                break
            except AlreadyRunning:
                if not asked:
                    waits()
                asked = True
                time.sleep(DOOR_SECONDS)
        yield


def prepare(home: Home, settings: Settings) -> None:
    """Complete a new home: the token and, unless disabled, the Iris data as first drop."""
    make_token(home)
    if settings.bootstrap != "iris" or home.schema.exists() or settings.leader.standby:
        return  # a standby does not know yet whether the journal has data
    from retraind.daemon.service import bootstrap  # imported here, because it takes longer than all other imports

    if bootstrap.iris(home):
        log.info("bootstrapped", drop=bootstrap.NAME)


def make_token(home: Home) -> None:
    """Make the admin's token of a new home."""
    if not home.token.exists():
        durable.write(home.token, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)


def starting(home: Home) -> Status:
    """The status before everything is imported: its figures are the previous daemon's until they are counted again."""
    last = status.read(home.status)
    figures = last.model_dump(include=FIGURES) if last else {}
    now, free = utcnow(), shutil.disk_usage(home.root).free
    beat = time.monotonic()
    return Status(pid=os.getpid(), state="starting", heartbeat=beat, at=now, started_at=now, free_bytes=free, **figures)


def slots(settings: Settings) -> int:
    """The number of HTTP workers to run."""
    return settings.server.workers or max(1, (os.cpu_count() or 2) // 2)


class Listening(TypedDict):
    """Where a service listens; None for a socket that it does not have."""

    dashboard: str | None
    unix_socket: str | None
    pid: int


def announce(workers: Workers, settings: Settings, *, as_json: bool = False) -> None:
    """Print where the dashboard is, for the person or program that has just entered the command."""
    host, port = workers.address or ("", 0)
    shown = f"[{reachable(host)}]" if ":" in host else reachable(host)
    page = f"http://{shown}:{port}/dashboard" if workers.address else None
    unix_socket = settings.server.unix_socket or None
    if as_json:
        print(json.dumps(Listening(dashboard=page, unix_socket=unix_socket, pid=os.getpid())), flush=True)
    if unix_socket and not as_json:
        print(f"retraind: it listens at {unix_socket}", flush=True)
    if page and not as_json:
        print(f"retraind: the dashboard is at {page}", flush=True)
    if workers.address is None:
        return
    if host not in ("127.0.0.1", "::1", "localhost") and settings.server.auth == "none":
        print("retraind: any client that reaches this address may write (server.auth = 'none')", file=sys.stderr)
