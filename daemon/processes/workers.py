"""The HTTP workers, which survive a crash of the daemon, and their replacement without losing a request.

A new worker answers before the old one drains, and the kernel's queue of connections belongs to all of them.
"""

import signal
from collections.abc import Callable

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.processes import worker_files
from retraind.daemon.processes.child import Child, python
from retraind.daemon.processes.draining_workers import DrainingWorkers
from retraind.daemon.processes.listeners import Listeners
from retraind.daemon.processes.old_workers import OldWorkers

RENEW_SECONDS = 60.0
"""Seconds within which a replacement worker must answer; after that it is abandoned."""


class Workers:
    """The HTTP workers, one per slot.

    `wake` is called when a worker has ended, so that `supervise` restarts it without waiting for the next tick.
    """

    def __init__(self, home: Home, settings: Settings, slots: int, wake: Callable[[], None] | None = None) -> None:
        self._home, self._settings, self._wake = home, settings, wake
        self._old = OldWorkers(home)
        self._listeners = Listeners(home.root, settings.server, self._old.pids)
        self._children = [self._child(slot) for slot in range(slots)]
        self._draining = DrainingWorkers(settings.server)
        self._asked = False
        """Whether a replacement of every worker was requested since the last check."""
        self._due: list[int] = []
        """Slots with workers to replace after the one in `_next`."""
        self._next: tuple[int, Child] | None = None
        """A slot and the replacement for its worker, until that is ready."""
        self._next_until = 0.0
        self.complaints: dict[int, str] = {}
        """Why a worker does not serve the version that it should, by slot."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port; None without a TCP socket."""
        return self._listeners.address

    @property
    def alive(self) -> int:
        """How many workers run."""
        return sum(child.alive for child in self._children)

    def supervise(self, now: float) -> list[str]:
        """Restart dead workers, and continue requested replacements.

        Returns a sentence for each worker that ended or started.
        """
        ended = [(slot, child.supervise(now)) for slot, child in enumerate(self._children)]
        sentences = [f"HTTP worker {slot} {how}; it restarts." for slot, how in ended if how]
        self._draining.look(now)
        if self._old.answering and self._may_take_over():
            self._listeners.take_over()
            self._old.drain()
        if self._asked:
            self._asked, self._due = False, list(range(len(self._children)))
        return sentences + self._renew(now) + self._new_complaints()

    def renew(self) -> None:
        """Replace every worker, one after the other. It only sets an attribute, so it is safe in a signal handler."""
        self._asked = True

    def close(self) -> None:
        """Stop accepting, let requests in flight finish, end the workers."""
        self._listeners.refuse_new()
        self._old.end()
        everyone = [*self._children, *self._draining.workers(), *([self._next[1]] if self._next else [])]
        for child in everyone:
            child.terminate()
        # The workers empty the queue; once the last worker has stopped accepting, clients are refused.
        self._listeners.close()
        for child in everyone:
            child.stop(self._settings.server.drain_seconds + 2)

    def _child(self, slot: int, *once: str) -> Child:
        fds = self._listeners.fds
        arguments = ["--home", str(self._home.root), "--slot", str(slot), "--fd", *map(str, fds)]
        command = [*python("retraind.web.server"), *arguments, "--settings", self._settings.model_dump_json()]
        # Its own session, because Ctrl-C in a terminal must reach only the daemon, which then drains the workers.
        return Child(command, once, self._wake, pass_fds=fds, start_new_session=True)

    def _may_take_over(self) -> bool:
        """Whether one of our workers answers, and has a model if the old workers do."""
        serving = [self._serves(slot, child) for slot, child in enumerate(self._children)]
        if any(serving):
            return True
        return any(answer is not None for answer in serving) and not self._old.any_serves()

    def _renew(self, now: float) -> list[str]:
        """Check a replacement once: start it, let it take over, or abandon it."""
        if self._next is None:
            # A draining worker uses as much memory as an answering one.
            if self._due and len(self._draining) < len(self._children):
                self._begin(self._due.pop(0), now)
            return []
        slot, fresh = self._next
        if self._serves(slot, fresh) is not None:
            old, self._children[slot], self._next = self._children[slot], fresh, None
            self._draining.add(old, signal.SIGUSR1, now)
            return [f"HTTP worker {slot} was replaced."]
        if fresh.alive and now < self._next_until:
            return []
        self._draining.add(fresh, signal.SIGTERM, now)
        self._next, self._due = None, []
        return [f"HTTP worker {slot} could not be replaced, because the new one did not get ready; see the log."]

    def _begin(self, slot: int, now: float) -> None:
        # It must not start to answer without a model if the old worker has one.
        fresh = self._child(slot, *(["--model-needed"] if self._serves(slot, self._children[slot]) else []))
        self._next, self._next_until = (slot, fresh), now + RENEW_SECONDS
        fresh.supervise(now)

    def _new_complaints(self) -> list[str]:
        """Sentences on workers that newly report a model that the daemon could load and they can't."""
        published = (
            (slot, worker_files.counters(self._home, slot, child)) for slot, child in enumerate(self._children)
        )
        before = self.complaints
        self.complaints = {
            slot: problem for slot, counters in published if counters and (problem := counters.get("model_problem"))
        }
        return [f"HTTP worker {slot}: {why}" for slot, why in self.complaints.items() if before.get(slot) != why]

    def _serves(self, slot: int, child: Child) -> bool | None:
        """Whether a worker answers with a model; None while it does not answer at all."""
        return worker_files.serves(self._home, slot, child)
