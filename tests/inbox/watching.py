"""An inbox that is watched, for tests and for the programs that they start: imports no more than that needs."""

import threading
import time
from collections.abc import Callable

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.watcher import Watcher


class Watched:
    """An inbox with its watcher; `woken` is released by each hint."""

    def __init__(self, home: Home) -> None:
        self.home, self.woken, self.now = home, threading.Semaphore(0), 100.0
        self.inbox = Inbox(home, Limits(settle_seconds=0.5), self.woken.release)
        self.watcher = Watcher(home, self.inbox.hint, self.woken.release)

    def watch(self, seconds: float = 1.0) -> list[str]:
        """What the loop does about once a second."""
        self.now += seconds
        return self.watcher.watch(self.now)

    def until(self, manner: str) -> None:
        wait(lambda: self.watcher.description().startswith(manner))

    def forget(self) -> None:
        while self.woken.acquire(blocking=False):
            pass

    def hears(self, name: str) -> bool:
        """Whether a new file wakes the loop."""
        self.forget()
        (self.home.inbox / name).write_text("x")
        return self.woken.acquire(timeout=30)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
