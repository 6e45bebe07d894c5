"""Leader and standby as whole services: killed, stopped and restarted; who takes over, how soon, and what is refused."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import stores
from running import retraind
from service import UNTRAINED, flowers, parsed, wait_until
from sharing import Machine, pair

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import Exit
from retraind.daemon.records.query import texts

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)

LATE = 30.0
"""Seconds in which a take-over must be over on a busy machine; `benchmarks.ingest.leaders` measures it."""


@pytest.fixture
def machines(
    tmp_path: Path, served: Path, own_server: Postgres, bucket: stores.Bucket
) -> Iterator[tuple[Machine, Machine]]:
    made = pair(tmp_path, served, own_server.url(), bucket, **UNTRAINED)
    yield made
    for machine in made:
        if machine.process is not None and machine.process.poll() is None:
            machine.signal(signal.SIGCONT)
        machine.end()


@pytest.mark.timeout(300)
def test_standby_takes_over_and_hands_back(machines: tuple[Machine, Machine], own_server: Postgres) -> None:
    a, b = machines
    a.start()
    a.wait_leads()
    a.wait_served(1)
    b.start_standby()
    expected = a.rows() + parsed(flowers(400)) + parsed(flowers(401)) + parsed(flowers(402)) + parsed(flowers(403))
    refuse_what_only_the_leader_may_do(a, b)
    kill_the_leader(a, b)
    a.start_standby()
    stop_the_leader(b, a)
    b.start_standby()
    own_server.stop()
    own_server.start()
    say("PostgreSQL restarted", a.seconds_until_accepted("restart.csv", flowers(404), time.monotonic()))
    a.rest()
    assert a.rows() == expected + parsed(flowers(404))
    wait_until(lambda: a.ask("/health")[0] == 200, 60, str(a.ask("/health")))
    changes = texts(a.home.journal, "SELECT message FROM events WHERE kind = 'leading' ORDER BY id")
    assert len(changes) == 3, changes
    a.git("fsck", "--strict")


def refuse_what_only_the_leader_may_do(a: Machine, b: Machine) -> None:
    """The standby serves the leader's version; drops wait there, and commands are sent to the leader."""
    b.wait_served(1)
    assert b.ask("/readyz")[0] == b.ask("/v2/health/ready")[0] == 200
    assert (a.ask("/leadz")[0], b.ask("/leadz")[0]) == (200, 503)
    status, problem = b.ask("/promote", {"version": 1})
    assert status == 421
    assert str(a.port) in problem["hint"]
    for command in (
        ["promote"],
        ["backup", b.home.root / "a.tar"],
        ["doctor", "--repair"],
        ["schema", "--ignore", "x"],
    ):
        refused = retraind(*command, home=b.home, env=b.environment)
        assert refused.returncode == Exit.USAGE, refused.stderr
        assert "stands by" in refused.stderr
    b.drop("waits.csv", flowers(400))
    wait_until(lambda: "1 drop waits here; box-a (http" in _leader(b), 10, "the drop in the health")
    said = json.loads(retraind("status", "--json", home=b.home, env=b.environment).stdout)
    leads = said["leadership"]["leader"], said["leadership"]["reason"]
    assert (said["healthy"], *leads) == (True, "box-a", "First start."), said
    assert "retraind_leader 0.0" in b.ask("/prometheus_metrics")[1]
    assert not b.accepted("waits.csv")
    wait_until(lambda: "Its copies are complete" in _leader(b), 30, "the copies")
    assert "DVC's list" not in retraind("doctor", home=b.home, env=b.environment).stdout


def kill_the_leader(leader: Machine, standby: Machine) -> None:
    """Its session ends with it."""
    leader.drop("before.csv", flowers(401))
    wait_until(lambda: leader.accepted("before.csv"), what=leader.log()[-2000:])
    began = time.monotonic()
    leader.kill()
    say("kill -9", standby.seconds_until_accepted("after.csv", flowers(402), began))
    standby.wait_leads()
    assert standby.reason() == f"The session of {leader.name} ended."
    wait_until(lambda: standby.accepted("waits.csv"), 30, "the drop that waited")
    assert "retraind_leader 1.0" in standby.ask("/prometheus_metrics")[1]
    assert standby.ask("/leadz")[0] == 200


def stop_the_leader(leader: Machine, standby: Machine) -> None:
    """Its session stays, and is ended; when the process goes on, it ends by itself."""
    began = time.monotonic()
    leader.signal(signal.SIGSTOP)
    say("SIGSTOP", standby.seconds_until_accepted("stopped.csv", flowers(403), began))
    standby.wait_leads()
    assert f"{leader.name} did not beat for " in standby.reason()
    leader.signal(signal.SIGCONT)
    assert leader.process is not None
    assert leader.process.wait(LATE) == Exit.JOURNAL_TAKEN


def say(what: str, seconds: float) -> None:
    """Print the time until a drop was accepted, and fail where it is far too long."""
    print(f"{what}: accepted after {seconds:.2f} s")
    assert seconds < LATE


def _leader(machine: Machine) -> str:
    """What its health says of the leader."""
    check = machine.ask("/health")[1]["checks"].get("leader")
    return str(check["detail"]) if check else ""


def test_without_standby_a_second_daemon_is_refused(
    tmp_path: Path, served: Path, bucket: stores.Bucket, postgres: Postgres
) -> None:
    a, b = pair(tmp_path, served, postgres.url(), bucket, RETRAIND_LEADER__STANDBY="false")
    try:
        a.start().wait_served(1)
        a.rest()
        b.home.make()
        b.home.journal_server.write_bytes(a.home.journal_server.read_bytes())
        done = retraind("run", "--port", 0, home=b.home, env=b.environment)
        assert done.returncode == Exit.ALREADY_RUNNING
        assert a.status().leadership is None
    finally:
        a.end()
        b.end()
