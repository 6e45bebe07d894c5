"""A leader and its serving nodes for tests: real services on ports of this machine, with a real PostgreSQL and a real S3 server."""

from pathlib import Path

from service import Service, wait_until
from stores import Bucket

from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.node import node_status
from retraind.daemon.core.node.node_status import NodeStatus


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
