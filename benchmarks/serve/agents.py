"""Where LISTEN and polling end: many nodes' agents, without homes and models, on one PostgreSQL server.

Run it with `python -m benchmarks.serve.agents [--nodes 3,50,200] [--swaps 20]`. The leader's side is the real one: its
journal, publisher and reports. Each light node has the session, the statements and the pauses of a real agent, and
prepares a version in no time, so a swap's time is that of the server and of the messages alone: from the new pointer
until the last node has seen the active row. The server, the leader and all nodes share this machine; what the server
takes of it has columns of its own.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import figure, percentile, show
from benchmarks.harness import NeverHappened, wait_for
from benchmarks.postgres import Postgres
from benchmarks.serve.light_nodes import MODES, LightNodes, Mode
from benchmarks.server_usage import memory, processor_seconds
from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core.home import Home
from retraind.daemon.core.node.messages import NodeReport, NodeState
from retraind.daemon.core.status import utcnow
from retraind.daemon.nodes.publisher import Publisher
from retraind.daemon.nodes.reports import Reports
from retraind.daemon.storage.journal import Journal

REST_SECONDS = 10.0
"""Time without a swap, in which the cost of being there is measured."""

TICK_SECONDS = 0.5
"""The leader's loop looks at least this often."""

PATIENCE_SECONDS = 60.0
"""A swap that takes longer counts as never ending."""


class Measured(NamedTuple):
    """One number of nodes, one way to learn of news; seconds, and bytes of the server for each connection."""

    swaps: list[float]
    skews: list[float]
    resting: float
    """Cores of the server without a swap."""
    swapping: float
    """CPU seconds of the server for a swap."""
    connection: float


class Leader:
    """The leader's real parts: journal, reports and publisher."""

    def __init__(self, home: Home, url: str) -> None:
        self._woken = threading.Event()
        self._journal = Journal.open(home.journal)
        self._reports = Reports(url, self._woken.set)
        self._publisher = Publisher(self._journal, self._reports, "http://leader.example")

    def start(self) -> None:
        """Begin to read the reports."""
        self._reports.start()

    def close(self) -> None:
        """End."""
        self._reports.close()
        self._journal.close()

    def live(self) -> Sequence[NodeReport]:
        """The nodes that report."""
        return [report for report in self._reports.now() if report.live]

    def swap(self, version: int, nodes: int) -> float:
        """Have all nodes serve a version; returns when it was wished for (monotonic seconds)."""
        pointer, begun = Pointer(version=version, manifest=f"{version:064x}", since=utcnow()), time.monotonic()
        while time.monotonic() < begun + PATIENCE_SECONDS:
            self._woken.clear()
            self._publisher.step(pointer, time.monotonic())
            done = [report for report in self.live() if report.version == version and report.state is NodeState.SERVING]
            if len(done) == nodes:
                return begun
            self._woken.wait(TICK_SECONDS)
        raise NeverHappened(f"{nodes} nodes did not serve version {version} within {PATIENCE_SECONDS:g} s.")


def measure(server: Postgres, nodes: int, swaps: int, mode: Mode) -> Measured:
    """Let `nodes` follow `swaps` changes of the served version."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.root.mkdir()
        home.make()
        url = server.place(home)
        with closing(Leader(home, url)) as leader:
            leader.swap(1, 0)
            leader.start()
            before = memory(server.pid)
            with LightNodes(url, nodes, mode) as light:
                wait_for("a report of each node", lambda: len(leader.live()) == nodes or None, PATIENCE_SECONDS, 0.1)
                connection = (memory(server.pid) - before) / nodes
                resting = _resting(server)
                used, started, begun = processor_seconds(server.pid), time.monotonic(), {}
                for version in range(2, swaps + 2):
                    begun[version] = leader.swap(version, nodes)
                    time.sleep(TICK_SECONDS)
                passed = time.monotonic() - started
                used = processor_seconds(server.pid) - used - resting * passed
                seen = light.stop()
    last = [max(seen[version]) - at for version, at in begun.items()]
    skews = [max(seen[version]) - min(seen[version]) for version in begun]
    return Measured(last, skews, resting, used / swaps, connection)


def _resting(server: Postgres) -> float:
    used = processor_seconds(server.pid)
    time.sleep(REST_SECONDS)
    return (processor_seconds(server.pid) - used) / REST_SECONDS


def row(nodes: int, mode: Mode, measured: Measured) -> list[str]:
    """A row of the table."""
    swaps = [percentile(measured.swaps, share) * 1000 for share in (0.5, 0.99)]
    skew = percentile(measured.skews, 0.99) * 1000
    figures = [figure(value, 0) for value in (*swaps, skew)]
    server = [figure(measured.resting), figure(measured.swapping, 2), figure(measured.connection / 2**20, 1)]
    return [str(nodes), mode.name, *figures, *server]


COLUMNS = (
    "nodes",
    "news by",
    "swap p50, ms",
    "p99",
    "skew p99, ms",
    "cores of the server at rest",
    "its CPU for a swap, s",
    "its MB for a node",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.agents", description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", default="3,25,50,100,200", help="numbers of nodes (default 3,25,50,100,200)")
    parser.add_argument("--swaps", type=int, default=20, help="changes of the served version (default 20)")
    asked = parser.parse_args()
    rows = []
    for nodes in map(int, asked.nodes.split(",")):
        for mode in MODES:
            server = Postgres.make({"max_connections": str(nodes + 20), "fsync": "on"})
            try:
                rows.append(row(nodes, mode, measure(server, nodes, asked.swaps, mode)))
            finally:
                server.remove()
    show(f"{asked.swaps} swaps; the server, the leader and all nodes on one machine", COLUMNS, rows)


if __name__ == "__main__":
    main()
