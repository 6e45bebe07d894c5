"""kill -9 at ten different moments each of the daemon, a worker and the trainer: nothing lost, nothing double, no human.

After every kill the next start (or the supervisor) finishes the rest: every dropped row is in the dataset exactly once,
git and DVC are clean, a model is served.
"""

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from service import Service, flowers, parsed, wait_until

from retraind.daemon.storage.journal import Journal

MOMENTS = (0.0, 0.05, 0.12, 0.16, 0.2, 0.26, 0.35, 0.6, 1.2, 2.0)
"""Seconds between a drop and the kill: before it settles, while it is committed, while it trains, while it is swapped."""


def moments(some: tuple[float, ...]) -> pytest.MarkDecorator:
    """All ten with `./ci.sh --full`; some of them whenever anything changes."""
    return pytest.mark.parametrize("moments", [some, pytest.param(MOMENTS, marks=pytest.mark.slow)])


ONE_OF_EACH_KIND = MOMENTS[1::4]
WHILE_IT_TRAINS = MOMENTS[7:8]
"""For the trainer, which takes seconds of the processor to start again after each."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def service(
    tmp_path_factory: pytest.TempPathFactory, served: Path, request: pytest.FixtureRequest
) -> Iterator[Service]:
    """A service that already serves Iris, with its journal in its file or on a server; each test leaves it whole."""
    running = Service(tmp_path_factory.mktemp("home"))
    if request.param == "postgres":
        running.home.make()
        request.getfixturevalue("postgres").place(running.home)
    running.copied(served).start()
    running.wait_served(1)
    running.wait_ingested()
    yield running
    running.end()


_numbers = itertools.count(100)


def _drop_new(service: Service) -> list[str]:
    """Drop rows that no other test of this module drops: the short form and the full one share a service."""
    number = next(_numbers)
    rows = flowers(number)
    service.drop(f"drop-{number}.csv", rows)
    return rows


def _replaced(ask: Callable[[], object], gone: object) -> bool:
    """Whether there is one, and it is not the one that was killed."""
    return ask() not in (None, [], gone)


def _only_worker(service: Service) -> int | None:
    """The home's worker; None while a worker of the daemon before, which the test before this killed, still ends."""
    workers = service.workers()
    return workers[0] if len(workers) == 1 else None


def _newest(service: Service) -> int:
    """The newest version that has its verdict."""
    return max(int(one["version"]) for one in service.ask("/versions")[1]["versions"])


def _check(service: Service, expected: Counter[tuple[object, ...]]) -> None:
    assert service.rows() == expected
    assert service.git("status", "--porcelain", "--untracked-files=no") == ""
    service.git("fsck", "--strict")
    assert "up to date" in service.dvc("status")
    assert service.predict() is not None


@moments(ONE_OF_EACH_KIND)
@pytest.mark.timeout(400)
def test_killing_the_daemon_loses_and_doubles_nothing(service: Service, moments: tuple[float, ...]) -> None:
    """Each kill is followed by a restart on the same port; predictions go on meanwhile."""
    expected = service.rows()
    port = service.port
    for moment in moments:
        rows = _drop_new(service)
        expected += parsed(rows)
        time.sleep(moment)
        service.kill()
        assert service.predict() is not None, "the workers outlive the daemon"
        service.start(port=port)
        wait_until(lambda: service.ask("/readyz")[0] == 200, what=service.log()[-2000:])
        service.wait_ingested()
        assert service.rows() == expected, f"after the kill at {moment} s"
    _check(service, expected)
    with Journal.reading(service.home.journal) as journal:
        left = journal.runs.open()
    assert len(left) <= 1, "runs of killed daemons are closed"


@moments(ONE_OF_EACH_KIND)
@pytest.mark.timeout(400)
def test_killing_a_worker_loses_no_logged_prediction(service: Service, moments: tuple[float, ...]) -> None:
    """The listening socket outlives its workers: the next one answers, and every answer given is in the history."""
    answered = set()
    for moment in moments:
        answer = wait_until(service.predict)
        answered.add(answer["prediction_id"])
        time.sleep(moment / 4)
        victim = wait_until(partial(_only_worker, service))
        os.kill(victim, signal.SIGKILL)
        wait_until(partial(_replaced, service.workers, [victim]), what=service.log()[-2000:])
        answered.add(service.wait_served(1)["prediction_id"])

    def missing() -> set[str]:
        history = service.ask("/predictions/history?limit=1000")[1]["history"]
        return answered - {one["prediction_id"] for one in history}

    wait_until(lambda: not missing(), what="every answer in the history")


@moments(WHILE_IT_TRAINS)
@pytest.mark.timeout(400)
def test_killing_the_trainer_keeps_the_served_model_and_trains_again(
    service: Service, moments: tuple[float, ...]
) -> None:
    """A killed training is recorded as failed, the old version stays, and a new one comes without a human."""
    service.rest()
    expected, before = service.rows(), _newest(service)
    for moment in moments:
        rows = _drop_new(service)
        expected += parsed(rows)
        time.sleep(moment)
        victim = wait_until(service.trainer)
        os.kill(victim, signal.SIGKILL)
        assert service.predict() is not None
        wait_until(partial(_replaced, service.trainer, victim))
    service.wait_ingested()
    wait_until(lambda: '"detail":"Ready."' in service.home.status.read_text())
    wait_until(lambda: _newest(service) > before, what=service.log()[-2000:])
    _check(service, expected)
