"""Three nodes behind HAProxy, as examples/ configures it: whatever happens to one of them, no request fails."""

import functools
import os
import signal
import subprocess
import time
from pathlib import Path

import postgres as servers
import pytest

from benchmarks import haproxy
from benchmarks.harness import Client, Service
from benchmarks.load import Load
from benchmarks.serve import nodes
from benchmarks.serve.nodes import Cluster
from benchmarks.serve.swaps import two_versions

RATE = 50


@pytest.fixture(autouse=True)
def programs() -> None:
    """Skip where they are not installed."""
    servers.required()
    if haproxy.PROGRAM is None:
        pytest.skip("HAProxy is not installed (Debian, Ubuntu: apt install haproxy)")


def test_example_is_one_that_haproxy_takes(tmp_path: Path) -> None:
    assert haproxy.PROGRAM is not None
    (tmp_path / "haproxy.cfg").write_text(haproxy.configuration(8000, [5001, 5002, 5003], 5000))
    done = subprocess.run(
        [haproxy.PROGRAM, "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr.upper(), done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_request_fails_whatever_happens_to_a_node() -> None:
    """Swaps, a rolling restart, kill -9 of a whole node, a node that hangs, PostgreSQL away: 0 failed, one version an answer."""
    with nodes.cluster(3) as place:
        versions = two_versions(place.leader)
        load = Load(place.port, RATE)
        load.start()
        try:
            swap_all(place, versions[0])
            for node in place.nodes:
                node.terminate()
                node.start()
                node.wait_for("an answer", Client(node.port).version, pause=0.05)
                time.sleep(1)
            place.nodes[0].kill(workers=True)
            time.sleep(2)
            place.nodes[0].start()
            place.nodes[0].wait_for("an answer", Client(place.nodes[0].port).version, pause=0.05)
            hang(place.nodes[1])
            place.postgres.stop()
            time.sleep(5)
            place.postgres.start()
            swap_all(place, versions[1])
            time.sleep(1)
        finally:
            outcome = load.stop()
    assert outcome.failed.total() == 0, outcome.failed
    assert outcome.unclear == outcome.mixed == 0
    assert {answer.version for answer in outcome.answers} == set(versions)
    assert len(outcome.answers) > 20 * RATE


def swap_all(place: Cluster, version: int) -> None:
    """Promote a version and wait until every node serves it."""
    client = Client(place.leader.port)
    client.ask("/promote", {"version": version})
    client.close()
    for node in place.nodes:
        asking = Client(node.port)
        place.leader.wait_for("the swap", functools.partial(_answers, asking, version), 60, 0.02)
        asking.close()


def _answers(client: Client, version: int) -> bool | None:
    return client.version() == version or None


def hang(node: Service) -> None:
    """Its workers are stopped for two seconds: connections stay, and nothing answers."""
    pids = node.worker_pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    time.sleep(1)
