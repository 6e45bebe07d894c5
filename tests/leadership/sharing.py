"""Two machines that share a journal and an object store, for tests: real services, a real PostgreSQL and a real S3 server."""

import os
import signal
import time
from pathlib import Path

from service import Service, wait_until
from stores import Bucket

from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.status import Status
from retraind.daemon.core.status import read as read_status


class Machine(Service):
    """A home with `leader.standby`."""

    def __init__(self, root: Path, name: str, url: str, bucket: Bucket, **settings: str) -> None:
        own = {
            "RETRAIND_LEADER__STANDBY": "true",
            "RETRAIND_LEADER__NAME": name,
            "RETRAIND_JOURNAL__URL": url,
            "RETRAIND_SERVER__WORKERS": "1",
        }
        super().__init__(root, **{**own, **bucket.environment, **settings})
        self.name = name

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands in this home."""
        return {**os.environ, **self._settings}

    def status(self) -> Status:
        """What its daemon says."""
        status = read_status(self.home.status)
        assert status is not None
        return status

    def leads(self) -> bool:
        """Whether it leads, and says so."""
        status = read_status(self.home.status)
        ready = status is not None and status.alive and status.state == "ready"
        return ready and status is not None and status.leadership is not None and status.leadership.leader == self.name

    def stands_by(self) -> bool:
        """Whether it stands by, with complete copies."""
        status = read_status(self.home.status)
        if status is None or not status.alive or status.state != "standby" or status.leadership is None:
            return False
        return status.leadership.leader != self.name and "complete" in status.checks["storage"].detail

    def reason(self) -> str:
        """Why the leader changed, as its daemon says."""
        record = self.status().leadership
        return record.reason if record else ""

    def wait_leads(self, seconds: float = 60) -> None:
        """Wait until it leads."""
        wait_until(self.leads, seconds, f"{self.name} to lead: {self.log()[-3000:]}")

    def start_standby(self) -> None:
        """Start it, at its port if it has one, and wait until it stands by."""
        self.start(port=self.port if self.url else 0)
        self.wait_stands_by()

    def wait_stands_by(self, seconds: float = 60) -> None:
        """Wait until it stands by."""
        wait_until(self.stands_by, seconds, f"{self.name} to stand by: {self.log()[-3000:]}")

    def accepted(self, name: str) -> bool:
        """Whether the journal has accepted a drop of this name."""
        status, drop = self.ask(f"/drops/{name}")
        return status == 200 and drop["state"] == "accepted"

    def seconds_until_accepted(self, name: str, rows: list[str], since: float) -> float:
        """Drop rows here now; the time from `since` (monotonic) until they are accepted."""
        self.drop(name, rows)
        while not self.accepted(name):
            assert time.monotonic() - since < 60, f"{name} is not accepted: {self.log()[-3000:]}"
            time.sleep(0.02)
        return time.monotonic() - since

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon alone."""
        os.kill(self.pid, number)


def pair(folder: Path, served: Path, url: str, bucket: Bucket, **settings: str) -> tuple[Machine, Machine]:
    """A machine with a copy of a home that serves, whose journal is at this address by now, and one with an empty home."""
    first, second = (Machine(folder / name, name, url, bucket, **settings) for name in ("box-a", "box-b"))
    first.home.make()
    journal_server.settle(first.home, url)
    first.copied(served)
    return first, second
