"""Trainings that go wrong: each ends with its reason, and the trainer goes on. Real processes, estimators of `crashing`."""

import os
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from service import Service, flowers, wait_until
from workshop import LEAVES, Workshop, leaves

from retraind.daemon.core.errors import TrainingFailed, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import RunState
from retraind.daemon.processes.child import Trainer
from retraind.daemon.processes.training_job import Job, Say
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.training import run
from retraind.daemon.training.work import Work


class Shop:
    """A home with rows to train on, and a trainer that waits for jobs."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop, self._said = workshop, queue.SimpleQueue[None]()
        self.trainer = Trainer(workshop.home, 0, lambda: self._said.put(None))
        self._run, self._messages = 0, list[Any]()

    def wait(self, key: str) -> Any:
        """The next message that has this key."""
        while True:
            while self._messages:
                message = self._messages.pop(0)
                if key in message:
                    return message
            self._said.get(timeout=60)
            self._messages = self.trainer.messages()

    def train(self, *candidates: str, **settings: Any) -> dict[str, Any]:
        """How a training ended: `done` or `failed`; waits until the trainer is ready again."""
        self._run += 1
        chosen = {"candidates": list(candidates), "report_rows": 0, **settings}
        job = Job(self._run, "test", "a" * 40, "b" * 32, self.workshop.segments, 100, chosen, None, None)
        self.trainer.train(job)
        assert not self.trainer.ready
        ended: dict[str, Any] = {}
        while "ready" not in ended:
            self._said.get(timeout=60)
            for message in self.trainer.messages():
                if message.get("run") == self._run and ("done" in message or "failed" in message):
                    ended = {**message, **ended}
                elif "ready" in message:
                    ended["ready"] = True
        return ended


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Shop]:
    home = Home(tmp_path_factory.mktemp("shop"))
    home.make()
    home.mlflow.write_bytes(migrated.read_bytes())
    workshop = Workshop(home, LEAVES)
    workshop.add(leaves("ash elm", 60))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    shop = Shop(workshop)
    try:
        shop.trainer.supervise(1e9)
        shop.wait("ready")
        yield shop
    finally:
        shop.trainer.close()
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        ("Crashes", "The training was killed by SIGSEGV."),
        ("Leaves", "The training ended with code 0 before it was done."),
        ("Exits", "SystemExit: enough"),
        (
            "Raises",
            "TrainingFailed: No candidate could be fitted. crashing:Raises: ZeroDivisionError: somebody divided",
        ),
        ("Eats", "TrainingFailed: No candidate could be fitted. crashing:Eats: MemoryError"),
        ("Own", "TrainingFailed: No candidate can be served. crashing:Own: Neither ONNX nor treelite reproduces it"),
        ("Missing", "TrainingFailed: train.candidates: crashing:Missing can't be used: AttributeError"),
    ],
)
def test_training_that_goes_wrong_says_how(shop: Shop, estimator: str, reason: str) -> None:
    """The forked child dies or gives up; the trainer lives, leaves no bundle behind and takes the next job.

    That this can succeed is shown once for each way to end: killed, gone without a word, failed and said so.
    """
    before, versions = shop.trainer.pid, len(ModelVersions(shop.workshop.home).versions())
    ended = shop.train(f"crashing:{estimator}", memory_bytes=300_000_000)
    assert str(ended["failed"]).startswith(reason)
    assert not list(shop.workshop.home.bundles.iterdir()) or estimator in ("Crashes", "Leaves")
    if estimator in ("Crashes", "Leaves", "Raises"):
        assert shop.train("tree")["done"] == versions + 1
    assert shop.trainer.pid == before
    for folder in shop.workshop.home.bundles.iterdir():
        folder.rename(shop.workshop.home.root / folder.name)


def test_bad_candidates_lose_to_a_good_one(shop: Shop) -> None:
    """Those that run out of memory, raise, or could not be served are left out, whatever they score.

    A run that is still open after a training, which has not crashed, is closed before the next.
    """
    home = shop.workshop.home
    Registry(home).start_run("candidate that could not be logged", {})
    bad = ("crashing:Eats", "crashing:Raises", "crashing:Own")
    assert "done" in shop.train(*bad, "tree", memory_bytes=300_000_000)
    assert not ModelVersions(home).unfinished()


def test_failure_is_reported_although_its_run_can_not_be_closed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its half of a bundle is removed."""
    home, halves = shop.workshop.home, list[Path]()

    def fail(work: Work, _say: Say) -> NoReturn:
        work.staging.mkdir()
        halves.append(work.staging)
        raise TrainingFailed("The first reason.")

    def refuse(*_arguments: str) -> NoReturn:
        raise Unavailable("MLflow's database can't be used: it is locked.")

    monkeypatch.setattr(run, "_train", fail)
    monkeypatch.setattr(Registry, "end_run", refuse)
    job = Job(99, "test", "a" * 40, "b" * 32, shop.workshop.segments, 100, {}, None, None)
    with pytest.raises(TrainingFailed, match=r"^The first reason\.$"):
        run.train(home, job, lambda _message: None)
    assert [half.exists() for half in halves] == [False]


@pytest.mark.slow
def test_hanging_training_is_stopped_and_tried_again_after_the_cooldown(tmp_path: Path, served: Path) -> None:
    """The old version goes on answering, and the rows that the attempt did not come to teach the next one."""
    hanging = tmp_path / "hanging"
    service = Service(
        tmp_path / "home",
        PYTHONPATH=f"{Path(__file__).parents[1]}:{os.environ.get('PYTHONPATH', '')}",
        CRASHING_HANGS=str(hanging),
        RETRAIND_TRAIN__CANDIDATES='["tree", "crashing:Hangs"]',
        RETRAIND_TRAIN__TIMEOUT_SECONDS="8",
    )
    try:
        service.copied(served).start().wait_served(1)
        hanging.touch()
        service.drop("more.csv", flowers(1, 30))

        def failed() -> str | None:
            with Journal.reading(service.home.journal) as journal:
                last = journal.runs.last(RunState.FAILED)
                return str(last["detail"]) if last else None

        assert wait_until(failed, what="an attempt that is stopped") == "It took longer than train.timeout_seconds = 8."
        assert service.wait_served(1)["model_version"] == 1
        hanging.unlink()
        service.wait_served(2)
    finally:
        service.end()
