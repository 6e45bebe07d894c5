"""A leader and two nodes: swaps reach both, and neither a lost server nor a restart costs a request."""

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import node_rights
import postgres as servers
import pytest
import stores
from load import Load
from nodes_serving import Node, leader
from service import Service, wait_until

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import Exit

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)


TRYING = {
    "RETRAIND_PROMOTE__MODE": "manual",
    "RETRAIND_PROMOTE__SHADOW": "true",
    "RETRAIND_PROMOTE__CANARY_SHARE": "1",
}
"""Settings with which a node tries the version that waits for a person."""


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that the test may stop."""
    servers.required()
    server = servers.make()
    yield server
    server.remove()


def second_version(service: Service) -> None:
    """Train a second version, which waits for a person."""
    service.ask("/trigger_retrain", {"force_retrain": True})
    wait_until(lambda: service.ask("/versions/2")[0] == 200, what=service.log()[-2000:])


@pytest.mark.timeout(200)
def test_nodes_follow_their_leader(tmp_path: Path, served: Path, own_postgres: Postgres, bucket: stores.Bucket) -> None:
    """Swaps, PostgreSQL away, a restart meanwhile, and back: no request fails, and each node comes to what is desired."""
    url = own_postgres.url()
    lead = leader(tmp_path / "leader", served, url, bucket)
    few = node_rights.address(url)
    rotate = {"RETRAIND_PREDICTIONS__ROTATE_SECONDS": "1"}
    one = Node(tmp_path / "one", "one", few, bucket, **rotate, **TRYING)
    two = Node(tmp_path / "two", "two", few, bucket, **rotate)
    try:
        lead.start()
        lead.wait_served(1)
        node_rights.grant(own_postgres, url)
        for node in (one, two):
            node.start()
        one.wait_serves(1)
        two.wait_serves(1)
        assert (one.ask("/readyz")[0], one.ask("/leadz")[0], lead.ask("/leadz")[0]) == (200, 503, 200)
        second_version(lead)
        wait_until(lambda: one.tries(2), 30, f"the held version on a node: {one.log()[-1500:]}")
        assert two.tries(1)
        assert one.serves(1)
        with Load(one.port, fresh=1, kept=1, pause=0.02) as load:
            for version in (2, 1, 2):
                lead.ask("/promote", {"version": version})
                one.wait_serves(version)
                two.wait_serves(version)
            wait_until(lambda: _listed(lead), 10, "both nodes on the leader")
            label_a_prediction(lead, one)
            with closing(sqlite3.connect(lead.home.history)) as history:
                assert history.execute("SELECT count(*) FROM agreements WHERE version = 2").fetchone() == (1,)
            own_postgres.stop()
            wait_until(lambda: "server can't be asked" in json.dumps(one.ask("/health")[1]), what="the health")
            assert one.ask("/readyz")[0] == 200
            two.stop()
            two.start(port=two.port)
            two.wait_serves(2)
            own_postgres.start()
            lead.ask("/promote", {"version": 1})
            one.wait_serves(1)
            two.wait_serves(1)
            time.sleep(0.2)
        assert (load.failures, load.refused) == ({}, 0)
        assert load.answers
        sends_to_its_leader(one, lead)
        last = two.predict()
        two.stop()
        wait_arrived(lead, last)  # although its file was not due: the disk of a container ends with it
    finally:
        for service in (one, two, lead):
            service.kill()
            service.end()


def sends_to_its_leader(node: Node, lead: Service) -> None:
    """What only a leader answers, by HTTP and on the command line."""
    status, problem = node.ask("/drops")
    assert status == 421
    assert "leader" in problem["detail"]
    assert lead.url.rpartition(":")[2] in problem["hint"]
    refused = subprocess.run(
        [*node.command, "promote", "--home", node.home.root],
        cwd=node.folder,
        env={**os.environ, "RETRAIND_ROLE": "node"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == Exit.USAGE
    assert "Ask its leader, http" in refused.stderr


def label_a_prediction(lead: Service, node: Node) -> None:
    """A late label of a node's answer joins the leader's data."""
    answer = node.predict()
    assert answer is not None
    name = wait_arrived(lead, answer)
    (lead.home.inbox / "label.csv").write_text(f"prediction_id,species\n{name},setosa\n")
    wait_until(lambda: lead.ask("/drops/label.csv")[1].get("state") not in (None, "waiting"), what=lead.log()[-1500:])
    drop = lead.ask("/drops/label.csv")[1]
    assert (drop["state"], drop["rows_accepted"]) == ("accepted", 1), drop


def wait_arrived(lead: Service, answer: dict[str, Any] | None) -> str:
    """Wait until the leader's history has a node's answer; its id."""
    assert answer is not None
    name = str(answer["prediction_id"])
    wait_until(lambda: name in json.dumps(lead.ask("/predictions/history?limit=1000")[1]), 60, "the log on the leader")
    return name


def _listed(lead: Service) -> bool:
    """Whether the leader's health and metrics have both nodes, and that all is well with them."""
    check = lead.ask("/health")[1]["checks"]["nodes"]
    metrics = lead.ask("/prometheus_metrics")[1]
    names = [f'retraind_node_generation{{node="{name}"}}' for name in ("one", "two")]
    return bool(check["ok"]) and "one: generation" in check["detail"] and all(name in metrics for name in names)
