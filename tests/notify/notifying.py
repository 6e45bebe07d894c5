"""A notifier on a real journal, stepped by a test, and a webhook that receives what it sends."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from receivers import KEY, Receiver

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Notify
from retraind.daemon.core.status import Check
from retraind.daemon.notify.notifier import Notifier
from retraind.daemon.processes.stop_signals import Wake
from retraind.daemon.storage.journal import Journal

QUICK: dict[str, Any] = {"group_seconds": 0, "every_seconds": 0, "unhealthy_seconds": 5, "timeout_seconds": 5}

FINE = {"disk": Check(ok=True, detail="Plenty.")}
FULL = {"disk": Check(ok=False, detail="Less than 100 MiB are free: free some space.")}


def settings(receiver: Receiver, **more: Any) -> Notify:
    """Settings with one webhook, and no waiting."""
    return Notify(webhook=receiver.url, secret_file="key", **QUICK | more)


class Stepping:
    """A notifier and its journal; `clock` is what its loop takes for monotonic seconds."""

    def __init__(self, home: Home, journal: Journal, notify: Notify) -> None:
        self.journal, self.clock = journal, 1000.0
        self.notifier = Notifier(home, notify, "", journal, Wake())

    def step(self, checks: Mapping[str, Check] = FINE, seconds: float = 1.0) -> None:
        """A step of the loop, some seconds after the last one."""
        self.clock += seconds
        self.notifier.step(checks, self.clock)

    def until(self, ask: Callable[[], object], checks: Mapping[str, Check] = FINE) -> None:
        """Step until something is true."""
        deadline = time.monotonic() + 20
        while not ask():
            assert time.monotonic() < deadline, f"still waiting; {self.notifier.problem}"
            self.step(checks)
            time.sleep(0.02)

    def rest(self, checks: Mapping[str, Check] = FINE) -> None:
        """Step until nothing is due."""
        self.step(checks)
        self.until(lambda: not self.journal.notices.due(), checks)
        self.step(checks)


@contextmanager
def notifying(home: Home, notify: Notify) -> Iterator[Stepping]:
    """A notifier with a journal of its own, closed at the end."""
    home.make()
    (home.root / "key").write_text(KEY)
    with closing(Journal.open(home.journal)) as journal:
        stepping = Stepping(home, journal, notify)
        try:
            yield stepping
        finally:
            stepping.notifier.close()
