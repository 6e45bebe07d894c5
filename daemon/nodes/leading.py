"""The leader's side: names the version to serve, reads the nodes' reports, and takes their prediction logs."""

from collections.abc import Callable

from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core.home import Home
from retraind.daemon.core.node.messages import NodeReport
from retraind.daemon.nodes.log_receiving import LogReceiving
from retraind.daemon.nodes.publisher import Publisher
from retraind.daemon.nodes.reports import Reports
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.storage.journal import Journal


class Leading:
    """The leader's side, with two threads; calls `wake` after a node's progress."""

    def __init__(
        self, home: Home, journal: Journal, store: ObjectStore, url: str, address: str, wake: Callable[[], object]
    ) -> None:
        """`url` is the journal's server, `address` the leader's own URL."""
        self._reports = Reports(url, wake)
        self._publisher = Publisher(journal, self._reports, address)
        self._receiving = LogReceiving(home, url, store, lambda: self._publisher.epoch)

    def start(self) -> None:
        """Start the threads."""
        self._reports.start()
        self._receiving.start()

    def close(self) -> None:
        """End them."""
        self._receiving.close()
        self._reports.close()

    def step(self, pointer: Pointer | None, now: float) -> None:
        """Make nodes follow the pointer; for the loop thread. `now` is monotonic seconds. Raises Unavailable."""
        self._publisher.step(pointer, now)

    def nodes(self) -> tuple[NodeReport, ...]:
        """All nodes of the last hour."""
        return self._reports.now()

    def complete_until(self) -> float:
        """The time (monotonic seconds) up to which all predictions of nodes are in `logs/`."""
        return self._reports.complete_until

    def objection(self) -> str | None:
        """The problem of the nodes; None if there is none."""
        return self._publisher.objection() or self._receiving.problem

    def sentence(self) -> str:
        """All nodes, for people."""
        return "; ".join(report.sentence for report in self.nodes()) or "No node has reported."
