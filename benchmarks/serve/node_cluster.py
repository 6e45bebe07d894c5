"""A leader, its serving nodes and a real HAProxy in front, with PostgreSQL and a store: for benchmarks and tests of nodes.

As root, the store and each node are machines of their own on a bridge (`benchmarks/network.py`); otherwise all are on this one.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import network
from benchmarks.haproxy import balancing
from benchmarks.harness import Service
from benchmarks.ingest.store import moto
from benchmarks.network import HERE, Machine, Network
from benchmarks.postgres import Postgres
from benchmarks.serve.swaps import SETTINGS

ROTATE_SECONDS = 5
"""After so long a node's log is sent to the leader."""

SWAPPED = """
SELECT EXTRACT(epoch FROM at)::float8 FROM desired WHERE version = %s AND state = 'active'
AND (SELECT count(*) FROM nodes WHERE nodes.generation = desired.generation AND nodes.state = 'serving') >= %s"""


@dataclass
class Cluster:
    """All of it, running; `port` is that of the balancer on this machine."""

    leader: Service
    nodes: Sequence[Service]
    port: int
    postgres: Postgres
    store: Machine
    folder: Path
    url: str
    """Of the journal."""

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        """Connect to the journal's server, again after it was away."""
        self._rows = psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True)

    def close(self) -> None:
        """Close the connection."""
        self._rows.close()

    def activated(self, version: int, nodes: int) -> float | None:
        """When the desired row with this version became active (wall clock), once so many nodes have set their pointers."""
        row = self._rows.execute(SWAPPED, (version, nodes)).fetchone()
        return None if row is None else row[0]

    def promote(self, version: int) -> None:
        """Ask the leader to serve a version."""
        with closing(self.leader.client()) as client:
            status, answer = client.ask("/promote", {"version": version})
        if status != 202:
            raise RuntimeError(f"/promote answered {status}: {answer}")

    def wait_serves(self, node: Service, version: int) -> None:
        """Wait until a node answers with a version."""
        with closing(node.client()) as client:
            node.wait_for(f"version {version}", lambda: client.version() == version or None, 60, 0.02)


@contextmanager
def cluster(count: int, *, separate: bool = True, **settings: object) -> Iterator[Cluster]:
    """Start all; every node answers with the first version. `separate`: as machines of their own, if this is root."""
    with ExitStack() as stack:
        net = stack.enter_context(_network(count + 1, separate))
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="retraind-nodes-", ignore_cleanup_errors=True))
        )
        postgres, url = _server(net, stack)
        store, *machines = net.machines
        storage = stack.enter_context(moto(store))
        shared = {"journal__url": url, "storage__url": storage.url, "storage__endpoint": storage.endpoint, **settings}
        leader = _service(folder / "leader", HERE, stack, **shared, **SETTINGS)
        leader.wait_started()
        own = {
            "role": "node",
            "server__auth": "none",
            "server__workers": 1,
            "predictions__rotate_seconds": ROTATE_SECONDS,
        }
        nodes = [
            _service(folder / f"node-{number}", machine, stack, node__name=f"node-{number}", **own, **shared)
            for number, machine in enumerate(machines, 1)
        ]
        for node in nodes:
            node.wait_answers()
        port = stack.enter_context(
            balancing(folder, [f"{node.machine.address}:{node.port}" for node in nodes], leader.port)
        )
        place = Cluster(leader, nodes, port, postgres, store, folder, url)
        stack.callback(place.close)
        yield place


@contextmanager
def _network(count: int, separate: bool) -> Iterator[Network]:
    if separate and network.missing() is None:
        with network.network(count) as made:
            yield made
    else:
        yield Network("", "", [HERE] * count)


def _server(place: Network, stack: ExitStack) -> tuple[Postgres, str]:
    """PostgreSQL, which machines of their own reach by TCP."""
    options = {"listen_addresses": place.address} if place.address else {}
    access = f"host all all {place.range} trust\n" if place.address else ""
    postgres = Postgres.make(options, access)
    stack.callback(postgres.remove)
    return postgres, postgres.url(host=place.address)


def _service(folder: Path, machine: Machine, stack: ExitStack, **settings: object) -> Service:
    folder.mkdir()
    service = Service(folder, **settings)
    service.machine = machine
    stack.callback(service.close)
    service.start()
    return service
