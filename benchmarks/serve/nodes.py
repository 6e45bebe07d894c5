"""Serving nodes behind HAProxy at a fixed rate, while two versions replace each other: failures, time of a swap, skew between nodes.

Run it with `python -m benchmarks.serve.nodes --rate 1000 --swaps 1000`. It needs PostgreSQL and HAProxy; nodes, leader, balancer and
a store (moto) share this machine. A swap's time counts from the leader's answer to /promote, and from the moment when the desired row
becomes active, until a node answers with the version.
"""

import argparse
import functools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import percentile, show
from benchmarks.haproxy import balancing
from benchmarks.harness import Client, Service
from benchmarks.ingest.store import moto
from benchmarks.load import Load, Outcome
from benchmarks.postgres import Postgres
from benchmarks.serve.swaps import SETTINGS, two_versions

LOOK_SECONDS = 0.004
"""How often each node is asked which version it serves: the resolution of all times."""

PAUSE_SECONDS = 0.2
"""Between swaps."""

RATHER_LATE = 30.0
"""Seconds in which every node must have swapped."""


@dataclass
class Cluster:
    """A leader, its nodes, and the port of the balancer before them."""

    leader: Service
    nodes: Sequence[Service]
    port: int
    postgres: Postgres
    url: str
    """That of the journal."""

    def activated(self) -> float:
        """When the desired row was written last (wall clock)."""
        schema = self.url.rpartition("%3D")[2]
        [[moment]] = self.postgres.sql(f"SELECT EXTRACT(epoch FROM at) FROM {schema}.desired")
        return float(moment)


@dataclass(frozen=True)
class Swap:
    """One change of the served version; all times are wall clock."""

    requested: float
    activated: float
    answered: Sequence[float]
    """When each node answered with the version."""


@dataclass
class Watch(threading.Thread):
    """Asks one node which version it serves, all the time; notes when that changes."""

    port: int
    changes: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        """Look until `ended`."""
        client = Client(self.port)
        while not self.ended.wait(LOOK_SECONDS):
            version = client.version()
            if version is not None and (not self.changes or self.changes[-1][1] != version):
                self.changes.append((time.time(), version))
        client.close()

    def since(self, moment: float, version: int) -> float | None:
        """When it has come to serve a version, after a moment."""
        return next((at for at, number in self.changes if at >= moment and number == version), None)


@contextmanager
def cluster(count: int) -> Iterator[Cluster]:
    """Start everything; the first version is served everywhere."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="retraind-nodes-", ignore_cleanup_errors=True))
        )
        postgres = Postgres.make()
        stack.callback(postgres.remove)
        storage, url = stack.enter_context(moto()), postgres.url()
        shared = {"journal__url": url, "storage__url": storage.url, "storage__endpoint": storage.endpoint}
        services = [_service(folder / "leader", stack, **shared, **SETTINGS)]
        services[0].wait_started()
        own = {"role": "node", "server__auth": "none", "server__workers": 1, "predictions__rotate_seconds": 60}
        names = [f"node-{number}" for number in range(1, count + 1)]
        services += [_service(folder / name, stack, node__name=name, **own, **shared) for name in names]
        for service in services:
            client = Client(service.port)
            service.wait_for("a prediction", client.version, pause=0.05)
            client.close()
        leader, *nodes = services
        port = stack.enter_context(balancing(folder, [node.port for node in nodes], leader.port))
        yield Cluster(leader, nodes, port, postgres, url)


def _service(folder: Path, stack: ExitStack, **settings: object) -> Service:
    folder.mkdir()
    service = Service(folder, **settings)
    stack.callback(service.close)
    service.start()
    return service


def measure(place: Cluster, rate: int, swaps: int) -> tuple[Outcome, list[Swap]]:
    """Predict all the time while versions replace each other."""
    versions = two_versions(place.leader)
    watches = [Watch(node.port) for node in place.nodes]
    for watch in watches:
        watch.start()
        place.leader.wait_for("the second version", functools.partial(watch.since, 0.0, versions[1]), RATHER_LATE)
    load, client = Load(place.port, rate), Client(place.leader.port)
    load.start()
    done = []
    try:
        for number in range(swaps):
            time.sleep(PAUSE_SECONDS)
            done.append(_swap(place, client, watches, versions[number % 2]))
    finally:
        client.close()
        outcome = load.stop()
        for watch in watches:
            watch.ended.set()
            watch.join()
    return outcome, done


def _swap(place: Cluster, client: Client, watches: Sequence[Watch], version: int) -> Swap:
    status, answer = client.ask("/promote", {"version": version})
    moment = time.time()
    if status != 202:
        raise RuntimeError(f"/promote answered {status}: {answer}")
    looks = [functools.partial(watch.since, moment, version) for watch in watches]
    answered = [place.leader.wait_for("the swap", look, RATHER_LATE) for look in looks]
    return Swap(moment, place.activated(), answered)


def facts(outcome: Outcome, swaps: Sequence[Swap]) -> list[list[str]]:
    """Rows of the table."""
    failed = ", ".join(f"{number} {why}" for why, number in outcome.failed.items() if number)
    spans = {
        "from the request": [at - swap.requested for swap in swaps for at in swap.answered],
        "from the active row": [at - swap.activated for swap in swaps for at in swap.answered],
        "skew": [max(swap.answered) - min(swap.answered) for swap in swaps],
    }
    return [
        ["requests sent", str(outcome.sent)],
        ["achieved rate, 1/s", f"{outcome.sent / outcome.seconds:.1f}"],
        ["failed requests", f"{outcome.failed.total()}{f' ({failed})' if failed else ''}"],
        ["answers naming no or more than one version", str(outcome.unclear)],
        ["versions with answers of more than one model", str(outcome.mixed)],
        ["swaps", str(len(swaps))],
        *([f"swap, {name}, ms", _shares(values)] for name, values in spans.items()),
        ["latency of a prediction, ms", _shares([answer.seconds for answer in outcome.answers])],
    ]


def _shares(values: Sequence[float]) -> str:
    return " / ".join(f"{percentile(values, share) * 1000:.1f}" for share in (0.5, 0.99, 1.0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.nodes", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=1000, help="predictions per second (default 1000)")
    parser.add_argument("--swaps", type=int, default=1000, help="changes of the served version (default 1000)")
    parser.add_argument("--nodes", type=int, default=3, help="serving nodes (default 3)")
    options = parser.parse_args()
    sys.setswitchinterval(0.0002)  # threads of the load hand over often
    with cluster(options.nodes) as place:
        outcome, swaps = measure(place, options.rate, options.swaps)
    title = f"{options.nodes} nodes, {options.rate} predictions a second for {outcome.seconds:.0f} s (p50 / p99 / most)"
    show(title, ["fact", "value"], facts(outcome, swaps))


if __name__ == "__main__":
    main()
