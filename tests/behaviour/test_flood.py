"""More requests than the loop can answer: some are told to come again, none is lost, and drops go on being taken between them."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import forked
from service import Service, flowers, wait_until
from sites import Site

from retraind.daemon.core import requests
from retraind.daemon.core.errors import Crowded, Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.requests import AT_ONCE, MOST, Request, equal_requests
from retraind.daemon.storage.journal import Journal

pytestmark = pytest.mark.timeout(400)  # on a busy machine the first version alone takes two minutes


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[Service]:
    """One with a version, which no drop of these tests replaces."""
    service = Service(tmp_path_factory.mktemp("flood") / "home", RETRAIND_RETRAIN__THRESHOLD_ROWS="1000000")
    try:
        service.copied(served).start()
        wait_until(service.predict, 240)
        service.wait_ingested()
        yield service
    finally:
        service.end()


class Client(threading.Thread):
    """Asks again and again, without a pause, until it is told to stop."""

    def __init__(self, service: Service, ended: threading.Event, bodies: list[tuple[str, dict[str, object]]]) -> None:
        super().__init__()
        self._service, self._ended, self._bodies = service, ended, bodies
        self.statuses: Counter[int] = Counter()
        self.accepted: list[str] = []
        self.patience: set[str | None] = set()

    def run(self) -> None:
        while not self._ended.is_set():
            for path, body in self._bodies:
                self._ask(path, body)

    def _ask(self, path: str, body: dict[str, object]) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._service.url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.statuses[answer.status] += 1
                self.accepted.append(json.loads(answer.read())["request"])
        except urllib.error.HTTPError as error:
            self.statuses[error.code] += 1
            self.patience.add(error.headers["Retry-After"])
            error.close()


@pytest.mark.slow
def test_a_flood_of_requests_stops_neither_drops_nor_the_heartbeat(service: Service) -> None:
    """Of two kinds in turns, so that hardly two neighbours are alike; each that was accepted has its answer in the end."""
    ended = threading.Event()
    bodies: list[tuple[str, dict[str, object]]] = [("/promote", {"version": 1}), ("/refuse", {"version": 1})]
    clients = [Client(service, ended, bodies) for _ in range(8)]
    for client in clients:
        client.start()
    ready: Counter[int] = Counter()
    try:
        wait_until(lambda: any(client.statuses[429] for client in clients), 60, "a client that is told to come again")
        for number in range(3):
            service.drop(f"meanwhile{number}.csv", flowers(50 + number))
            while service.drops():
                ready[service.ask("/readyz")[0]] += 1
                time.sleep(0.05)
    finally:
        ended.set()
        for client in clients:
            client.join()
    statuses = sum((client.statuses for client in clients), Counter[int]())
    assert set(statuses) == {202, 429}, statuses
    assert set.union(*(client.patience for client in clients)) == {"1"}
    assert set(ready) == {200}
    wait_until(lambda: not requests.pending(service.home), 120, "an answer to every request")
    with Journal.reading(service.home.journal) as journal:
        answers = {one: journal.requests.get(one) for client in clients for one in client.accepted}
    assert len(answers) == statuses[202]
    assert all(one is not None and one["state"] in ("done", "refused") for one in answers.values())


def test_requests_that_ask_for_the_same_have_one_answer(service: Service) -> None:
    """They are carried out once, in their order: what stands between two of them is carried out between them."""
    said = [requests.submit(service.home, "promote", version=version).id for version in (1, 1, 1, 7, 7, 1)]
    with Journal.reading(service.home.journal) as journal:
        answers = wait_until(lambda: _answers(journal, said), 30)
    promoted, unknown = "Version 1 will be served", "There is no version 7"
    said = [promoted] * 3 + [unknown] * 2 + [promoted]
    assert [one[: len(start)] for one, start in zip(answers, said, strict=True)] == said


def _answers(journal: Journal, ids: list[str]) -> list[str] | None:
    rows = [journal.requests.get(one) for one in ids]
    answered = [row["detail"] for row in rows if row is not None and row["state"] != "queued"]
    return answered if len(answered) == len(ids) else None


def test_only_neighbours_are_alike() -> None:
    """And not more at once than one transaction should take."""
    made = [Request(kind="promote", version=version) for version in (1, 1, 2, 1)]
    assert equal_requests(made) == made[:2]
    assert equal_requests([]) == []
    assert equal_requests([Request(kind="promote", version=1), Request(kind="promote", version=1, by="http")])[1:] == []
    assert len(equal_requests([Request(kind="promote", version=1)] * (AT_ONCE + 1))) == AT_ONCE


def test_a_request_beyond_the_limit_gets_a_sentence(home: Home) -> None:
    """The command line, too; nothing is written."""
    for number in range(MOST):
        requests.ask(home, "promote", version=number + 1)
    with pytest.raises(Crowded):
        requests.ask(home, "promote", version=1)
    done = forked("promote", "1", home=home)
    assert (done.returncode, len(requests.pending(home))) == (Exit.REFUSED, MOST)
    assert "256 requests already wait for the daemon" in done.stderr


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker where as many requests wait as may."""
    site = Site(tmp_path_factory.mktemp("crowded"))
    for number in range(MOST):
        requests.submit(site.home, "promote", version=number + 1)
    yield site
    site.close()


@pytest.mark.parametrize("path", ["/promote", "/refuse", "/rollback", "/trigger_retrain"])
def test_too_many_requests_get_a_status_and_a_header(crowded: Site, path: str) -> None:
    status, answer = crowded.post(path, {"force_retrain": True} if path == "/trigger_retrain" else {})
    assert (status, answer["title"]) == (429, "Too Many Requests")


def test_a_waiting_request_is_read_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of the loop looks at all of them; a file that is replaced is read again."""
    made = [requests.submit(home, "promote", version=1) for _ in range(50)]
    assert len(requests.pending(home)) == 50
    read: list[Path] = []
    real = requests._trusted

    def trusted(path: Path) -> bytes:
        read.append(path)
        return real(path)

    monkeypatch.setattr(requests, "_trusted", trusted)
    assert len(requests.pending(home)) == 50
    assert read == []
    (home.requests / made[0].name).write_bytes(made[0].model_copy(update={"version": 2}).model_dump_json().encode())
    assert requests.pending(home)[0].version == 2
    assert len(read) == 1
