"""retraind.daemon.training.trainer: the trainer process starts, sleeps, reports problems and ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from service import wait_until

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Log
from retraind.daemon.processes.child import Trainer, environment, python
from retraind.daemon.processes.training_job import Message
from retraind.daemon.training import trainer


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
    command = [*python("retraind.daemon.training"), str(home.root), "0"]
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
