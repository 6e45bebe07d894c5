"""The connection to a Dask scheduler: its workers, what runs on them, and the end of both.

Only this module imports Dask, in a process of its own (`dispatcher`), because Dask has threads.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Collection
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from distributed import Client
from distributed.security import Security

from retraind.daemon.training.engines.dask import installed, worker
from retraind.daemon.training.engines.dask.place import Place
from retraind.daemon.training.engines.dask.worker import Greeting

CLOSE_SECONDS = 2.0
"""Seconds that the end of a connection may take."""


class Unreachable(Exception):
    """Raised when a scheduler can't be used, with the reason."""


class Ended(NamedTuple):
    """A task that has ended: its number, and its answer, or None and why there is none."""

    number: int
    answer: bytes | None
    problem: str


class Greeted(NamedTuple):
    """A worker that was greeted, and what it says of itself, or why it can't; None: it must be greeted again."""

    address: str
    said: Greeting | str | None


News = Ended | Greeted


class Cluster:
    """A scheduler and its workers. `signal` becomes readable when `news` has something."""

    def __init__(self, place: Place, name: str, seconds: float) -> None:
        """Connect within so many seconds; raises Unreachable."""
        for logger in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
            logging.getLogger(logger).setLevel(logging.CRITICAL)  # the causes are reported, without tracebacks
        self._name, self.news = name, SimpleQueue[News]()
        self.signal, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self.address = place.address
        self._futures: dict[int, Any] = {}
        self._known: dict[str, int] = {}
        try:
            self._client = Client(
                place.address, security=_security(place), timeout=seconds, set_as_default=False, name=name
            )
        except Exception as error:  # noqa: BLE001 - Dask, TLS and the system raise what they like
            raise Unreachable(f"{place.address} does not answer: {_first_line(error)}") from None
        self._require_equal_scheduler(place.address)

    def _require_equal_scheduler(self, address: str) -> None:
        """Raise Unreachable if tasks can't be unpickled on the scheduler."""
        try:
            versions: dict[str, str] = self._client.run_on_scheduler(installed.versions)
        except Exception as error:  # noqa: BLE001 - the scheduler raises what it likes
            self.close()
            raise Unreachable(
                f"{address} can't run retraind's code: {_first_line(error)}. Install retraind there, too."
            ) from None
        here = installed.versions()
        carriers: dict[str, str] = {name: here[name] for name in ("retraind", "Python", "distributed") if name in here}
        if reason := installed.objection(versions, carriers):
            self.close()
            raise Unreachable(f"{address} is not used: {reason}")

    @property
    def connected(self) -> bool:
        """Whether the scheduler is there."""
        return bool(self._client.status == "running")

    def workers(self) -> dict[str, int]:
        """Address and number of threads of each worker; 0 threads if it has no nanny, which could end its fits.

        As last known if the scheduler does not answer; then `connected` tells more.
        """
        with contextlib.suppress(Exception):
            entries = self._client.scheduler_info(n_workers=-1)["workers"]
            self._known = {
                address: entry["nthreads"] if entry.get("nanny") else 0 for address, entry in entries.items()
            }
        return self._known

    def greet(self, address: str) -> None:
        """Ask a worker what it is; the answer, or why there is none, becomes news."""
        threading.Thread(target=self._greet, args=(address,), daemon=True).start()

    def _greet(self, address: str) -> None:
        try:
            answer = self._client.run(worker.greet, workers=[address], on_error="return")[address]
        except Exception as error:  # noqa: BLE001 - the worker or the scheduler has gone
            answer = error
        if isinstance(answer, OSError):  # a connection was closed, perhaps with the worker that was here before
            answer = None
        elif isinstance(answer, Exception):
            answer = f"it can't run retraind's code: {_first_line(answer)}. Install retraind there, too."
        self._tell(Greeted(address, answer))

    def submit(self, number: int, address: str, recipe: bytes, task: bytes, limit: float) -> None:
        """Run a task on one worker; how it ends becomes news."""
        future = self._client.submit(
            worker.run,
            recipe,
            task,
            limit,
            key=f"{worker.KEY}-{self._name}-{os.getpid()}-{number}-{time.monotonic_ns()}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        self._futures[number] = future
        future.add_done_callback(partial(self._end, number))

    def _end(self, number: int, future: Any) -> None:
        if number not in self._futures or self._futures[number] is not future:
            return
        del self._futures[number]
        answer, problem = None, str(future.status)
        try:
            answer = future.result(timeout=CLOSE_SECONDS) if future.status == "finished" else None
            if future.status == "error":
                problem = _first_line(future.exception(timeout=CLOSE_SECONDS))
        except Exception as error:  # noqa: BLE001 - the worker has gone with its result
            problem = _first_line(error)
        future.release()
        self._tell(Ended(number, answer, problem))

    def forget(self, number: int) -> None:
        """Let no news of a task come; what runs goes on."""
        if (future := self._futures.pop(number, None)) is not None:
            with contextlib.suppress(Exception):
                future.cancel()

    def kill(self, addresses: Collection[str]) -> None:
        """End workers, whose nannies start others: a fit can't be ended otherwise. Does not wait, and may fail: look, and repeat it."""
        if not addresses:  # Dask would take that for all workers
            return
        with contextlib.suppress(Exception):
            self._client.run(worker.die, workers=list(addresses), wait=False, on_error="ignore")

    def free(self, addresses: Collection[str]) -> None:
        """Let workers free the rows. Does not wait."""
        if not addresses:
            return
        with contextlib.suppress(Exception):
            self._client.run(worker.forget, workers=list(addresses), wait=False, on_error="ignore")

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=CLOSE_SECONDS)

    def _tell(self, news: News) -> None:
        self.news.put(news)
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"!")


def _security(place: Place) -> Security | None:
    if not place.ca:
        return None
    files = {"tls_ca_file": place.ca, "tls_client_cert": place.cert, "tls_client_key": place.key}
    return Security(require_encryption=True, **files)


def _first_line(error: BaseException | None) -> str:
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
