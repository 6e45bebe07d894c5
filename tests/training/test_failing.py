"""Trainings that go wrong: each ends with its reason, and the trainer goes on. Real processes, estimators of `crashing`."""

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from service import Service, flowers, wait_until
from workshop import LEAVES, Workshop, leaves

from daemon.core.errors import TrainingFailed, Unavailable
from daemon.core.home import Home
from daemon.core.settings import Log
from daemon.core.states import RunState
from daemon.processes.child import Trainer, environment, python
from daemon.processes.training_job import Job, Message, Say
from daemon.registry.registry import Registry
from daemon.storage.journal import Journal
from daemon.storage.model_versions import ModelVersions
from daemon.training import run, trainer
from daemon.training.run import Work


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


def test_report_that_takes_too_long_is_given_up() -> None:
    """By an error first, which closes its run in MLflow; whoever does not listen to that is killed."""
    before = signal.getsignal(signal.SIGALRM)
    try:
        trainer._set_deadline(1)
        with pytest.raises(TimeoutError, match="longer than 1 s"):
            signal.pause()
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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


def test_trainer_that_is_not_wanted_ends_and_starts_again_when_it_is(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    trainer = Trainer(home, 0, lambda: None, idle_seconds=10)
    try:
        assert trainer.supervise(100) is None
        assert trainer.asleep
        assert trainer.pid is None
        trainer.keep_awake(100)
        trainer.supervise(100)
        first = trainer.pid
        assert first is not None
        trainer.supervise(111)
        assert trainer.pid == first, "one that still imports goes on"
        wait_until(lambda: trainer.messages() and trainer.ready)
        assert trainer.supervise(111) is None, "its end is no failure"
        assert trainer.asleep
        assert not trainer.ready
        assert not Path(f"/proc/{first}").exists()
        trainer.keep_awake(111.1)
        trainer.supervise(111.1)
        assert trainer.pid not in (None, first)
        assert trainer.failures == 0
    finally:
        trainer.close()


def test_trainer_that_can_not_open_the_database_says_why(tmp_path: Path) -> None:
    """It is not ready, and the health says more than that it imports."""
    home = Home(tmp_path)
    home.make()
    home.mlflow.write_bytes(b"no database" * 100)
    said: list[Message] = []
    assert not trainer._prepared(home, said.append)
    waiting = Trainer(home, 0, lambda: None)
    waiting._inbox.put(said[0])
    assert waiting.messages() == said
    assert not waiting.ready
    assert waiting.problem == "Unavailable: MLflow's database can't be used: file is not a database."
    waiting._inbox.put({"ready": 1})
    waiting.messages()
    assert [waiting.ready, waiting.problem] == [True, None]


STARTER = """
import os, signal, subprocess, sys
subprocess.Popen([*sys.argv[1:], str(os.getpid()), "{}"])
os.kill(os.getpid(), signal.SIGKILL)
"""
"""A daemon that is killed as soon as its trainer runs."""


def test_trainer_ends_with_its_daemon_while_it_imports(tmp_path: Path) -> None:
    """It would go on for as long as standard input is open, and make the database without the home's lock."""
    home = Home(tmp_path)
    home.make()
    read, write = os.pipe()
    command = [*python("daemon.training"), str(home.root), "0"]
    try:
        # Standard output and error end with the last process that has them.
        done = subprocess.run(
            [sys.executable, "-c", STARTER, *command], stdin=read, capture_output=True, env=environment(), timeout=60
        )
    finally:
        os.close(read)
        os.close(write)
    assert done.returncode == -signal.SIGKILL
    assert not home.mlflow.exists()


def test_trainer_logs_as_the_home_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its lines are part of the daemon's log, so `log.format` and `log.level` are theirs, too."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no pictures')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    home = Home(tmp_path / "home")
    home.make()
    trainer = Trainer(home, 0, lambda: None, log=Log(format="text"))
    lines: list[str] = []

    def has_failed() -> bool:
        lines.extend(capfd.readouterr().err.splitlines())
        return "ImportError: no pictures" in lines

    try:
        trainer.supervise(time.monotonic())
        wait_until(has_failed)
    finally:
        trainer.close()
    assert any(line.endswith("error    not_warmed_up") for line in lines), lines


def test_trainer_that_can_not_start_does_not_sleep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or its failures would be out of sight: asleep is green in the health."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "numpy.py").write_text("raise SystemExit(9)\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    home = Home(tmp_path / "home")
    home.make()
    trainer = Trainer(home, 0, lambda: None, idle_seconds=10)
    try:
        trainer.keep_awake(100)
        ends = []
        for now in (100, 130, 140):
            trainer.supervise(now)
            wait_until(lambda: not trainer.alive)
            ends.append(trainer.supervise(now))
            assert not trainer.asleep
        assert ends[0] == "ended with 9"
        assert trainer.failures > 1
    finally:
        trainer.close()
