"""The HTTP workers, which outlive a crash of the daemon, and how they are replaced without a request being lost.

A new worker answers before the old one drains, and the kernel's queue of connections belongs to all of them.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from daemon.core import durable
from daemon.core.home import Home
from daemon.core.settings import Settings
from daemon.processes import sockets
from daemon.processes.child import Child, python
from daemon.processes.unix_socket import UnixListener

OVERDUE_SECONDS = 60.0
"""A replaced worker ends by itself; one that has not so long after all its limits is killed."""

RENEW_SECONDS = 60.0
"""A worker that shall replace another one and does not answer after this time is given up."""


class Workers:
    """The HTTP workers. They share one listening socket, so that none of them takes a connection to its grave.

    `wake` is called when one has ended, so that `tend` starts it again without waiting for the next tick.
    """

    def __init__(self, home: Home, settings: Settings, slots: int, wake: Callable[[], None] | None = None) -> None:
        self._home, self._settings, self._wake = home, settings, wake
        self._old = _held(home.workers.glob("*.lock"))
        """Locks of the workers of a daemon that was killed."""
        server, old = settings.server, [_pid(lock) for lock in self._old]
        self.socket = sockets.bind(server.host, server.port, ours=old) if server.host else None
        self.unix = UnixListener(home.root / server.unix_socket, ours=old) if server.unix_socket else None
        self._children = [self._child(slot) for slot in range(slots)]
        self._retiring = bool(self._old)
        """Whether they are to drain and end as soon as one of ours answers."""
        self._retired: list[Path] = []
        """Locks of those that were, and may still drain."""
        self._asked = False
        """Whether somebody wants every worker replaced since the last look."""
        self._due: list[int] = []
        """Slots whose worker is to be replaced, after that of `_next`."""
        self._next: tuple[int, Child] | None = None
        """A slot and what replaces its worker, until it is ready."""
        self._next_until = 0.0
        self._leaving: list[tuple[Child, float]] = []
        """Workers that drain, and when each is killed."""
        self.complaints: dict[int, str] = {}
        """By slot, why a worker does not serve the version that it should."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, if it listens on one."""
        return self.socket.getsockname()[:2] if self.socket else None

    def _sockets(self) -> list[socket.socket]:
        return [one for one in (self.socket, self.unix.socket if self.unix else None) if one]

    def _child(self, slot: int, *once: str) -> Child:
        fds = [one.fileno() for one in self._sockets()]
        arguments = ["--home", str(self._home.root), "--slot", str(slot), "--fd", *map(str, fds)]
        command = [*python("web.server"), *arguments, "--settings", self._settings.model_dump_json()]
        # A session of its own: Ctrl-C in a terminal must reach the daemon only, which then drains the workers.
        return Child(command, once, self._wake, pass_fds=fds, start_new_session=True)

    def tend(self, now: float) -> list[str]:
        """Restart what died, and go on with what was asked for; returns a sentence for each worker that ended or came."""
        ended = [(slot, child.tend(now)) for slot, child in enumerate(self._children)]
        sentences = [f"HTTP worker {slot} {how}; it is started again." for slot, how in ended if how]
        self._see_off(now)
        if self._retiring and self._may_retire():
            self._retire_now()
        if self._asked:
            self._asked, self._due = False, list(range(len(self._children)))
        return sentences + self._renew(now) + self._heard()

    def _heard(self) -> list[str]:
        """What workers complain of since the last time: a model that the daemon could load, and they can't."""
        counters = ((slot, self._counters(slot, child)) for slot, child in enumerate(self._children))
        complaints = {slot: said["model_problem"] for slot, said in counters if said and said.get("model_problem")}
        sentences = [
            f"HTTP worker {slot}: {why}" for slot, why in complaints.items() if self.complaints.get(slot) != why
        ]
        self.complaints = complaints
        return sentences

    @property
    def alive(self) -> int:
        """How many workers run."""
        return sum(child.alive for child in self._children)

    def renew(self) -> None:
        """Have every worker replaced, one after the other. Only sets an attribute: safe in a signal handler."""
        self._asked = True

    def close(self) -> None:
        """Stop accepting, let requests in flight finish, end the workers."""
        if self.socket:
            sockets.refuse_new(self.socket)
        if self.unix:
            self.unix.hide()
        _tell(self._old if self._retiring else self._retired, signal.SIGTERM)
        leaving = [child for child, _ in self._leaving]
        everyone = [*self._children, *leaving, *([self._next[1]] if self._next else [])]
        for child in everyone:
            child.ask_to_end()
        # The workers empty the queue; from the moment the last of them leaves it, clients are refused.
        for listener in self._sockets():
            listener.close()
        for child in everyone:
            child.stop(self._settings.server.drain_seconds + 2)

    def _may_retire(self) -> bool:
        """Whether one of ours answers, and with a model if the old ones do."""
        said = [self._says(slot, child) for slot, child in enumerate(self._children)]
        if any(said):
            return True
        if all(one is None for one in said):
            return False
        self._old = _held(self._old)
        return not any((_published(lock.with_suffix(".json")) or {}).get("ready") for lock in self._old)

    def _retire_now(self) -> None:
        if self.socket:
            sockets.steer_here(self.socket)
        if self.unix:
            self.unix.show()
        _tell(self._old, signal.SIGUSR1)
        self._old, self._retired, self._retiring = [], self._old, False

    def _renew(self, now: float) -> list[str]:
        """One look at a replacement: start it, or let it take over, or give it up."""
        if self._next is None:
            # One that drains costs as much memory as one that answers.
            if self._due and len(self._leaving) < len(self._children):
                self._begin(self._due.pop(0), now)
            return []
        slot, fresh = self._next
        if self._says(slot, fresh) is not None:
            old, self._children[slot], self._next = self._children[slot], fresh, None
            self._leave(old, signal.SIGUSR1, now)
            return [f"HTTP worker {slot} was replaced."]
        if fresh.alive and now < self._next_until:
            return []
        self._leave(fresh, signal.SIGTERM, now)
        self._next, self._due = None, []
        return [f"HTTP worker {slot} could not be replaced, because the new one did not get ready; see the log."]

    def _begin(self, slot: int, now: float) -> None:
        # It must not answer that there is no model where the old one has one.
        fresh = self._child(slot, *(["--model-needed"] if self._says(slot, self._children[slot]) else []))
        self._next, self._next_until = (slot, fresh), now + RENEW_SECONDS
        fresh.tend(now)

    def _leave(self, child: Child, number: int, now: float) -> None:
        """Let a worker end: at SIGUSR1 it takes as long as a request may, see `web/server/shutdown.py`."""
        server = self._settings.server
        child.ask_to_end(number)
        limits = server.drain_seconds + server.body_seconds + server.request_seconds
        self._leaving.append((child, now + limits + OVERDUE_SECONDS))

    def _see_off(self, now: float) -> None:
        self._leaving = [(child, until) for child, until in self._leaving if child.alive]
        for child, until in self._leaving:
            if now >= until:
                child.ask_to_end(signal.SIGKILL)

    def _says(self, slot: int, child: Child) -> bool | None:
        """Whether a worker answers with a model; None while it does not answer at all."""
        counters = self._counters(slot, child)
        return None if counters is None else bool(counters.get("ready"))

    def _counters(self, slot: int, child: Child) -> dict[str, Any] | None:
        """What a worker publishes of itself about once a second (`web/metrics/counters.py`); None while it does not answer."""
        if child.process is None or not child.alive:
            return None
        said = _published(self._home.worker_counters(slot, child.process.pid))
        # Before it answers, it has there what it goes on with: the last word of one that is gone.
        return said if said and said.get("pid") == child.process.pid else None


def _held(locks: Iterable[Path]) -> list[Path]:
    """Those of them whose workers still run: each holds the lock that carries its pid."""
    held = []
    for path in locks:
        fd = durable.try_lock(path)
        if fd is None:
            held.append(path)
            continue
        path.unlink()
        os.close(fd)
    return held


def _published(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(FileNotFoundError, orjson.JSONDecodeError):
        said: dict[str, Any] = orjson.loads(path.read_bytes())
        return said
    return None


def _pid(lock: Path) -> int:
    """Whose lock it is, or was."""
    return int(lock.stem.split("-")[1])


def _tell(locks: list[Path], number: int) -> None:
    """Send a signal to the workers that hold these locks."""
    for lock in _held(locks):
        with contextlib.suppress(ProcessLookupError):
            os.kill(_pid(lock), number)
