"""Serving nodes behind HAProxy while a part is away: failed requests, the slowest one, and the time until a node has caught up.

Run it with `python -m benchmarks.serve.node_faults --rate 100 --outage 600`; it needs PostgreSQL, HAProxy, a C compiler, and root for
network namespaces. In the end each answer that the load has received must be in the leader's history once.
"""

import argparse
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from benchmarks.figures import show
from benchmarks.harness import NeverHappened, Service
from benchmarks.serve.node_cluster import Cluster, cluster
from benchmarks.serve.steady_load import Answers, loading
from benchmarks.serve.swaps import two_versions

COLUMNS = ("fault", "seconds", "requests", "failed", "slowest, ms", "caught up after, s")

AWAY_SECONDS = 6.0
"""The leader waits for a silent node for 5 s."""

SEEN_SECONDS = 1.0
"""In this time HAProxy notices that a node is back."""

HISTORY_SECONDS = 120.0


@dataclass(frozen=True)
class Journey:
    """One fault under load."""

    name: str
    answers: Answers
    caught_up: float
    """Seconds from the end of the fault until the last node answered with the desired version."""

    @property
    def row(self) -> list[str]:
        """A row of COLUMNS."""
        failed, answers = self.answers.failed, self.answers
        reasons = ", ".join(f"{number} {reason}" for reason, number in failed.items())
        return [
            self.name,
            f"{answers.seconds:.0f}",
            str(len(answers.records)),
            f"{failed.total()}{f' ({reasons})' if reasons else ''}",
            f"{answers.slowest * 1000:.0f}",
            f"{self.caught_up:.1f}",
        ]


@dataclass
class Faults:
    """The faults of one cluster, each under a load of `rate` predictions a second."""

    place: Cluster
    rate: float
    versions: Sequence[int]
    """The served version comes last; each swap exchanges them."""

    def under_load(self, name: str, fault: Callable[[], float]) -> Journey:
        """Predict during a fault, which returns when it is over, with the seconds until all had caught up."""
        with loading(self.place.port, self.rate, self.place.folder) as answers:
            time.sleep(SEEN_SECONDS)
            caught_up = fault()
            time.sleep(SEEN_SECONDS)
        return Journey(name, answers[0], caught_up)

    def outage(self, seconds: float) -> float:
        """PostgreSQL is stopped, and the store's link is cut; then a version is promoted."""
        self.place.postgres.stop()
        if self.place.store.name:
            self.place.store.cut()
        time.sleep(seconds)
        if self.place.store.name:
            self.place.store.join()
        self.place.postgres.start()
        began = time.monotonic()
        self.place.connect()
        if self.place.leader.ended is not None:
            self.place.leader.start()
        self.swap(self.place.nodes)
        return time.monotonic() - began

    def rolling_restart(self) -> float:
        """SIGTERM and a new start, one node after the other."""
        for node in self.place.nodes:
            node.terminate()
            caught_up = self._start(node)
            time.sleep(SEEN_SECONDS)
        return caught_up

    def kill(self) -> float:
        """All processes of a node are killed."""
        node = self.place.nodes[0]
        node.kill(workers=True)
        time.sleep(AWAY_SECONDS)
        return self._start(node)

    def hang(self) -> float:
        """The workers of a node are stopped for a while: connections stay, and nothing answers."""
        pids = self.place.nodes[1].worker_pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(AWAY_SECONDS)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        began = time.monotonic()
        self.place.wait_serves(self.place.nodes[1], self.versions[-1])
        return time.monotonic() - began

    def cut(self) -> float:
        """The link of a node is cut, and a version promoted meanwhile."""
        *others, node = self.place.nodes
        node.machine.cut()
        time.sleep(AWAY_SECONDS)
        self.swap(others)
        node.machine.join()
        began = time.monotonic()
        self.place.wait_serves(node, self.versions[-1])
        return time.monotonic() - began

    def swap(self, nodes: Sequence[Service]) -> None:
        """Promote the other version, and wait until these nodes answer with it."""
        self.versions = self.versions[::-1]
        self.place.leader.wait_for("the request", self._promoted, 60, 0.1)
        for node in nodes:
            self.place.wait_serves(node, self.versions[-1])

    def _promoted(self) -> bool | None:
        with suppress(OSError, RuntimeError):  # the leader may have no session yet
            self.place.promote(self.versions[-1])
            return True
        return None

    def _start(self, node: Service) -> float:
        began = time.monotonic()
        node.start()
        self.place.wait_serves(node, self.versions[-1])
        return time.monotonic() - began


def run(place: Cluster, rate: float, outage: float) -> list[Journey]:
    """All faults, one after the other."""
    versions = two_versions(place.leader)
    for node in place.nodes:
        place.wait_serves(node, versions[1])
    faults = Faults(place, rate, versions)
    journeys = [
        faults.under_load("PostgreSQL and store away", lambda: faults.outage(outage)),
        faults.under_load("rolling restart", faults.rolling_restart),
        faults.under_load("`kill -9` of a node", faults.kill),
        faults.under_load("a node hangs", faults.hang),
    ]
    if place.nodes[-1].machine.name:
        journeys.append(faults.under_load("the link of a node is cut", faults.cut))
    return journeys


def history(place: Cluster, journeys: Sequence[Journey]) -> tuple[int, int]:
    """The number of answers that are missing in the leader's history, and of those that are in it more than once."""
    ids = [name for journey in journeys for name in journey.answers.ids]

    def arrived() -> Counter[str] | None:
        rows = stored(place.leader)
        return rows if all(name in rows for name in ids) else None

    try:
        rows = place.leader.wait_for("every answer in the history", arrived, HISTORY_SECONDS, 1.0)
    except NeverHappened:
        rows = stored(place.leader)
    return sum(not rows[name] for name in ids), sum(rows[name] > 1 for name in ids)


def stored(leader: Service) -> Counter[str]:
    """The prediction ids in the leader's history."""
    with closing(sqlite3.connect(f"file:{leader.home.history}?mode=ro", uri=True)) as connection:
        return Counter(name for (name,) in connection.execute("SELECT prediction_id FROM predictions"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve.node_faults", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--rate", type=int, default=100, help="predictions per second (default 100)")
    parser.add_argument("--outage", type=float, default=20, help="seconds without PostgreSQL and store (default 20)")
    parser.add_argument("--nodes", type=int, default=3, help="serving nodes (default 3)")
    options = parser.parse_args()
    with cluster(options.nodes) as place:
        journeys = run(place, options.rate, options.outage)
        missing, doubled = history(place, journeys)
    show(f"{options.nodes} nodes, {options.rate} predictions a second", COLUMNS, [journey.row for journey in journeys])
    count = sum(len(journey.answers.ids) for journey in journeys)
    print(
        f"\nOf {count} answers {missing} are missing in the leader's history, and {doubled} are in it more than once."
    )


if __name__ == "__main__":
    main()
