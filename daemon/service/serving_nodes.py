"""Starts the leader's side if there may be serving nodes, or the agent in the home of a node."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from retraind.daemon.core import logs
from retraind.daemon.core.errors import BadSettings, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.settings import Settings

if TYPE_CHECKING:
    from retraind.daemon.nodes.leading import Leading
    from retraind.daemon.objects.store import ObjectStore
    from retraind.daemon.processes.worker_keeper import WorkerKeeper
    from retraind.daemon.service.parts import Frame
    from retraind.daemon.storage.journal import Journal

log = logs.Logger()

SEND_SECONDS = 20.0
"""Maximum time that a node's end takes longer while it sends its last predictions."""


def lead(frame: "Frame", store: "ObjectStore | None", journal: "Journal", workers: "WorkerKeeper") -> "Leading | None":
    """The leader's side; None without the journal's server and the object store, which nodes need."""
    server = journal_server.beside(frame.home.journal)
    if server is None or store is None:
        return None
    from retraind.daemon.nodes.leading import Leading

    place = address(frame.settings, workers)
    leading = Leading(frame.home, journal, store, server.url, place, frame.wake)
    leading.start()
    frame.stack.callback(leading.close)
    return leading


def fenced(frame: "Frame", store: "ObjectStore | None", journal: "Journal") -> "ObjectStore | None":
    """The store, from which a leader with a standby removes nothing once it is deposed."""
    if store is None or journal.term is None or not frame.settings.leader.standby:
        return store
    from retraind.daemon.leadership.fenced_store import FencedStore

    return FencedStore(store, frame.settings.journal.url, journal.term.epoch)


def address(settings: Settings, workers: "WorkerKeeper") -> str:
    """The URL of this home's pages, for other machines; the name of the machine if it listens at a Unix socket only."""
    listening = workers.workers.address
    here = f"http://{socket.gethostname()}:{listening[1]}" if listening else socket.gethostname()
    return settings.server.public_url or here


def require(home: Home, settings: Settings) -> None:
    """Raise BadSettings if this home can't be a node: without a server and store, or if it is the home of a leader."""
    require_engines(settings, 'role = "node"')
    if home.journal_server.exists() or (home.data / ".git").exists():
        raise BadSettings(f"{home.root} is the home of a leader.", hint="Give the node its own empty folder.")


def require_engines(settings: Settings, what: str) -> None:
    """Raise BadSettings without a server and store, RetraindError without the driver; `what` needs them."""
    if not settings.journal.url or not settings.storage.url:
        hint = "Set both to those of the leader (docs/operations.md)."
        raise BadSettings(f"{what} needs journal.url and storage.url.", hint=hint)
    if find_spec("psycopg") is None:
        raise journal_server.missing_driver()


@contextmanager
def following(home: Home, settings: Settings) -> Iterator[None]:
    """Make a node's home follow its leader. The workers are already started, so they don't wait for these imports."""
    from retraind.daemon.nodes.agent import Agent

    agent = Agent(home, settings)
    agent.start()
    try:
        yield
    finally:
        agent.close()


@contextmanager
def gathering(home: Home, settings: Settings) -> Iterator[None]:
    """Keep the figures over time of a node's own workers."""
    from retraind.daemon.trends.gatherer import Gatherer

    gatherer = Gatherer(home, settings)
    gatherer.start()
    try:
        yield
    finally:
        gatherer.stop()


def send_rest(home: Home, settings: Settings) -> None:
    """Send what a node has logged since, after its workers have ended: the disk of a container ends with it.

    What can't be sent in time stays on the disk, and the next start sends it.
    """
    from retraind.daemon.nodes.log_shipping import LogShipping
    from retraind.daemon.objects import background
    from retraind.daemon.objects.opening import open_store

    store = open_store(settings.storage)
    assert store is not None
    sending = background.start("send rest", LogShipping(home, settings, store).ship)
    try:
        sending.result(SEND_SECONDS)
    except (RetraindError, OSError, TimeoutError) as error:
        log.warning("predictions_not_shipped", reason=str(error) or "The store or the server is too slow.")
