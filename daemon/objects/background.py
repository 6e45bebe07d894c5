"""Work for the object store outside the loop, in threads that do not prevent a process from ending."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def start(name: str, work: Callable[[], T]) -> Future[T]:
    """Run `work` in a thread called `name`.

    A stop of the service does not wait for it, because an interrupted put leaves no object.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return future


def is_done(future: Future[T], seconds: float) -> bool:
    """Whether it has ended, after waiting at most this many seconds."""
    with suppress(TimeoutError):
        future.exception(seconds)
    return future.done()
