"""A real service whose journal is on a PostgreSQL server: drops, trainings and predictions, kill -9, and a server that goes away."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import postgres as servers
import pytest
from conftest import unchanged
from service import REPOSITORY, UNTRAINED, Service, flowers, parsed, wait_until

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.records.query import number
from retraind.daemon.storage.journal import Journal


def placed(root: Path, served: Path, url: str, **settings: str) -> Service:
    """A service on a copy of `served`, whose journal has been moved to this address. Not yet started."""
    service = Service(root, PGPASSWORD=servers.PASSWORD, **settings)
    service.home.make()
    journal_server.settle(service.home, url)
    return service.copied(served)


def retraind(service: Service, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """A command, as a person calls it whose environment has the password."""
    command = [sys.executable, "-m", "retraind.daemon", *map(str, arguments), "--home", str(service.home.root)]
    environment = {**os.environ, "PGPASSWORD": servers.PASSWORD}
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, served: Path, postgres: Postgres) -> Iterator[Service]:
    """A running service whose journal is on a server that asks for a password; each test leaves it whole."""
    with unchanged():
        os.environ["PGPASSWORD"] = servers.PASSWORD
        running = placed(tmp_path_factory.mktemp("server") / "home", served, postgres.url("guarded"))
        running.start().wait_served(1)
        running.rest()  # a worker answers before the daemon has read the journal
        yield running
        running.end()


def test_killed_daemon_is_followed_by_one_that_goes_on(service: Service) -> None:
    """`test_crash.py` kills at more moments, of other processes, too."""
    expected = service.rows() + parsed(flowers(500))
    service.drop("killed.csv", flowers(500))
    time.sleep(0.12)
    service.kill()
    assert service.predict() is not None
    service.start(port=service.port)
    wait_until(lambda: service.ask("/readyz")[0] == 200, what=service.log()[-2000:])
    service.wait_ingested()
    assert service.rows() == expected
    service.rest()


def test_daemon_that_is_overtaken_ends_with_its_own_exit_code(service: Service, postgres: Postgres) -> None:
    """Another process has written the journal: what the daemon remembers is not true, and a restart reads it again."""
    second = retraind(service, "run", "--port", 0)
    assert second.returncode == Exit.ALREADY_RUNNING
    server = journal_server.named(service.home.journal)
    assert server is not None
    schema = server.url.rpartition("%3D")[2]
    postgres.sql(f"UPDATE {schema}.journal_state SET writes = writes + 1")
    service.drop("overtaken.csv", flowers(700))
    assert service.process is not None
    assert service.process.wait(60) == Exit.JOURNAL_TAKEN
    assert "has changed since this process wrote it" in service.log()
    service.start(port=service.port).wait_served(1)
    service.wait_ingested()
    assert parsed(flowers(700)) <= service.rows()


def test_commands_read_and_change_what_is_on_the_server(service: Service, tmp_path: Path) -> None:
    """Forgetting, the check of a home, the lists, and a backup that becomes a home again; the password is nowhere."""
    service.drop("forgotten.csv", flowers(600))
    service.wait_ingested()
    service.rest()
    expected, said = service.rows() - parsed(flowers(600)), ""
    again = Service(tmp_path / "again")
    forgotten = retraind(service, "forget", "forgotten.csv", "--json")
    assert forgotten.returncode == Exit.OK, forgotten.stderr
    service.rest()
    assert service.rows() == expected
    for command in ("doctor", "drops"):
        done = retraind(service, command)
        assert done.returncode == Exit.OK, done.stdout + done.stderr
        said += done.stdout + done.stderr
    assert "forgotten.csv" in said
    assert "BAD" not in said
    done = retraind(service, "backup", tmp_path / "home.tar")
    assert done.returncode == Exit.OK, done.stderr
    done = retraind(again, "restore", tmp_path / "home.tar", "--json")
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    assert all(finding["ok"] for finding in json.loads(done.stdout))
    assert again.home.journal.exists()
    assert again.rows() == expected
    assert servers.PASSWORD not in said + service.log()
    files = [path for path in service.home.root.rglob("*") if path.is_file()]
    assert [path for path in files if servers.PASSWORD.encode() in path.read_bytes()] == []


@pytest.mark.timeout(300)
def test_service_goes_on_when_the_server_is_back(tmp_path: Path, served: Path, own_server: Postgres) -> None:
    """Predictions do not notice, not even when the daemon starts meanwhile; what is dropped waits, and counts once."""
    service = placed(tmp_path / "home", served, own_server.url(), **UNTRAINED)
    answers: list[bool] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.05):
            answers.append(service.predict() is not None)

    try:
        service.start().wait_served(1)
        service.rest()
        expected = service.rows()
        asking = threading.Thread(target=ask)
        asking.start()
        own_server.stop()
        rows = flowers(600)
        service.drop("meanwhile.csv", rows)
        expected += parsed(rows)
        wait_until(lambda: "can't be reached" in json.dumps(service.ask("/health")[1]), what="a word in the health")
        assert retraind(service, "doctor").returncode == Exit.UNHEALTHY
        service.kill()
        service.start(port=service.port)
        wait_until(lambda: "journal_away" in service.log(), what="a start that waits")
        wait_until(lambda: "can't be reached" in json.dumps(service.ask("/health")[1]), what="a word in the health")
        own_server.start()
        service.wait_ingested()
        for place in range(2):
            rows = flowers(610 + place)
            service.drop(f"{place}.csv", rows)
            expected += parsed(rows)
            time.sleep(0.15)
            servers.terminate(own_server, "retraind %")
        service.wait_ingested()
        wait_until(lambda: service.ask("/health")[0] == 200, what=str(service.ask("/health")))
        stop.set()
        asking.join()
        assert service.rows() == expected
        assert len(answers) > 30
        assert all(answers)
        assert number(service.home.journal, "SELECT COUNT(*) FROM drops WHERE state = 'duplicate'") == 0
        assert service.stop() == 0
    finally:
        stop.set()
        service.end()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_new_home_begins_on_the_server_that_the_settings_name(tmp_path: Path, postgres: Postgres) -> None:
    """And a file comes into being nowhere; a start without the setting goes on there."""
    service = Service(tmp_path / "home", RETRAIND_JOURNAL__URL=postgres.url())
    try:
        service.start().wait_served(1)
        service.rest()
        assert service.stop() == 0
        assert not service.home.journal.exists()
        with Journal.reading(service.home.journal) as journal:
            assert journal.batches.committed().rows == 150
        later = Service(service.home.root)
        later.start().wait_served(1)
        assert later.stop() == 0
    finally:
        service.end()


def test_home_with_a_journal_is_not_started_with_another(tmp_path: Path, served: Path) -> None:
    """It would begin a second history: the sentence says how to move the first."""
    service = Service(tmp_path / "home").copied(served)
    command = [sys.executable, "-m", "retraind.daemon", "run", "--home", str(service.home.root), "--port", "0"]
    url = f"{journal_address.SCHEME}://nowhere.invalid/journal"
    environment = {"RETRAIND_JOURNAL__URL": url, "PATH": "/usr/bin"}
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == Exit.USAGE
    assert "retraind migrate" in done.stderr


@pytest.mark.timeout(300)
def test_journal_moves_while_its_service_runs(tmp_path: Path, served: Path, postgres: Postgres) -> None:
    """The command waits until the service is stopped; what is dropped until then goes with it, and predictions go on."""
    service = Service(tmp_path / "home", **UNTRAINED).copied(served)
    try:
        service.start().wait_served(1)
        service.rest()
        expected = service.rows()
        for place, to in enumerate((postgres.url(), "file")):
            command = [sys.executable, "-m", "retraind.daemon", "migrate", to, "--home", str(service.home.root)]
            moving = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
            assert moving.stderr is not None
            assert "rows are copied. Stop or restart the service now" in moving.stderr.readline()
            rows = flowers(800 + place)
            service.drop(f"meanwhile-{place}.csv", rows)
            expected += parsed(rows)
            service.wait_ingested()
            service.kill()  # its workers answer on
            assert moving.wait(30) == Exit.OK, moving.stderr.read()
            assert service.predict() is not None
            assert service.home.journal.exists() == (to == "file")
            service.start(port=service.port)
            service.wait_served(1)
            service.rest()
            assert service.rows() == expected
            assert service.ask("/health")[0] == 200, service.ask("/health")
    finally:
        service.end()
