"""The crew: the workers of a scheduler that are fit for a training, and why others are not."""

import time
from collections import Counter
from collections.abc import Collection
from typing import Protocol

from retraind.daemon.core import logs
from retraind.daemon.training.engines.dask import installed
from retraind.daemon.training.engines.dask.messages import Workers
from retraind.daemon.training.engines.dask.worker import Greeting

log = logs.Logger()

NO_NANNY = "it has no nanny, so nothing could end a fit. Start it with --nanny, which is Dask's default."


class Hub(Protocol):
    """What the crew needs of a scheduler's connection (`client.Cluster`)."""

    def workers(self) -> dict[str, int]:
        """Address and number of threads of each worker; 0 threads if it has no nanny."""

    def greet(self, address: str) -> None:
        """Ask a worker what it is."""

    def kill(self, addresses: Collection[str]) -> None:
        """End workers, whose nannies start others."""


class Crew:
    """Knows the workers by what they say of themselves when they are greeted."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._threads: dict[str, int] = {}
        self._processors: dict[str, str] = {}
        self.unfit: dict[str, str] = {}
        """Why a worker is not used, by address."""
        self._greeted: set[str] = set()
        self._present: set[str] = set()
        self.without_since: float | None = time.monotonic()
        """The moment (monotonic) since which there is no fit worker; None if there is one."""

    @property
    def message(self) -> Workers:
        """The crew, for the training."""
        threads, processors = sum(self._threads.values()), frozenset(self._processors.values())
        return Workers(threads, len(self._threads), dict(self.unfit), processors)

    @property
    def hopeless(self) -> bool:
        """Whether each worker has answered, and none is fit; one whose connection has broken is greeted again."""
        return bool(self.unfit) and not self._threads and self._present == self.unfit.keys()

    def look(self) -> None:
        """Greet new workers, and forget those that have gone."""
        present = self._hub.workers()
        self._present = set(present)
        for address in present.keys() - self._greeted:
            self._greeted.add(address)
            if present[address]:
                self._hub.greet(address)
            else:
                self.refuse(address, NO_NANNY)
        for address in self._greeted - present.keys():
            self._greeted.discard(address)
            self.unfit.pop(address, None)
            self._leave(address)

    def hear(self, address: str, greeting: Greeting | str | None) -> None:
        """Take what a worker says of itself, or why it can't; None: greet it again."""
        threads = self._hub.workers().get(address)
        if threads is None or greeting is None:
            self._greeted.discard(address)
            return
        reason = greeting if isinstance(greeting, str) else installed.objection(greeting.versions, installed.versions())
        if isinstance(greeting, str) or reason:
            self.refuse(address, reason)
        elif greeting.running:
            log.warning("worker_restarted", worker=address, reason="It still runs a task of an earlier training.")
            self._hub.kill([address])
            self._greeted.discard(address)
        else:
            self._threads[address], self._processors[address] = threads, greeting.processor
            self.without_since = None

    def refuse(self, address: str, reason: str) -> None:
        """Use a worker no more."""
        log.warning("worker_refused", worker=address, reason=reason)
        self.unfit[address] = reason
        self._leave(address)

    def _leave(self, address: str) -> None:
        self._threads.pop(address, None)
        self._processors.pop(address, None)
        if not self._threads and self.without_since is None:
            self.without_since = time.monotonic()

    def free(self, busy: Counter[str]) -> str | None:
        """A worker with a free thread; None if all are `busy`, with so many tasks each."""
        return next((address for address, threads in self._threads.items() if busy[address] < threads), None)

    @property
    def addresses(self) -> set[str]:
        """The fit workers."""
        return set(self._threads)

    def has(self, address: str) -> bool:
        """Whether a worker is fit and there."""
        return address in self._threads
