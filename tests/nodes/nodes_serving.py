"""A leader and its serving nodes for tests: real services on ports of this machine, with a real PostgreSQL and a real S3 server."""

import json
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

from service import Service, wait_until
from stores import Bucket

from daemon.core.journal import journal_server
from daemon.core.node import node_status
from daemon.core.node.node_status import NodeStatus

FLOWER = json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode()


def leader(root: Path, served: Path, url: str, bucket: Bucket) -> Service:
    """A service on a copy of `served` whose journal is at this address, and whose bundles are in the bucket. Not yet started."""
    service = Service(root, RETRAIND_PROMOTE__MODE="manual", **bucket.environment)
    service.home.make()
    journal_server.settle(service.home, url)
    return service.copied(served)


class Node(Service):
    """A home with `role = "node"`."""

    def __init__(self, root: Path, name: str, url: str, bucket: Bucket, **settings: str) -> None:
        own = {"RETRAIND_ROLE": "node", "RETRAIND_NODE__NAME": name, "RETRAIND_JOURNAL__URL": url}
        super().__init__(root, **own, **bucket.environment, **settings)
        self.name = name

    def status(self) -> NodeStatus | None:
        """What its agent says."""
        return node_status.read(self.home.node)

    def tries(self, version: int) -> bool:
        """Whether a request with a routing key gets an answer of this version."""
        answer = self.ask("/predict", {"features": [5.1, 3.5, 1.4, 0.2]}, **{"X-Routing-Key": "customer"})[1]
        return bool(answer.get("model_version") == version)

    def serves(self, version: int) -> bool:
        """Whether it answers with a version."""
        answer = self.predict()
        return answer is not None and answer["model_version"] == version

    def wait_serves(self, version: int, seconds: float = 30) -> None:
        """Wait until it answers with a version."""
        wait_until(
            lambda: self.serves(version),
            seconds,
            f"version {version} on {self.name}: {self.status()} {self.log()[-1500:]}",
        )


class Load:
    """Requests at a constant rate to one address, from threads; counts answers by outcome."""

    def __init__(self, url: str, rate: float, threads: int = 4) -> None:
        self._url, self._pause = url, threads / rate
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> int:
        """Requests that got no prediction."""
        return sum(count for outcome, count in self.outcomes.items() if not outcome.startswith("version "))

    @property
    def answered(self) -> int:
        """Requests that got one."""
        return self.outcomes.total() - self.failed

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due += self._pause
            began = time.monotonic()
            outcome = self._ask()
            with self._lock:
                self.outcomes[outcome] += 1
                self.slowest = max(self.slowest, time.monotonic() - began)

    def _ask(self) -> str:
        request = urllib.request.Request(f"{self._url}/predict", FLOWER, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return f"version {json.load(answer)['model_version']}"
        except (OSError, ValueError, KeyError) as error:
            return f"{type(error).__name__}: {error}"
