"""The log of a whole journey: every line is JSON of our shape, whichever process or library wrote it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from service import Service, wait_until

from retraind.daemon.core.home import Home

ROOT = Path(__file__).parents[2]

NOISY = """
import logging, os, sys, warnings
from sklearn.linear_model import LogisticRegression

class Noisy(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        print("printed by an estimator")
        os.write(1, b"written to descriptor 1\\n")
        os.write(2, b"written to descriptor 2\\n")
        sys.stderr.write("10 %\\r20 %\\r30 % of a bar\\n")
        warnings.warn("warned by an estimator", UserWarning)
        for name in ("mlflow.tracking", "alembic.runtime.migration", "dvc.repo", "sqlalchemy.engine"):
            logging.getLogger(name).warning("logged by %s", name)
        return super().fit(X, y)
"""

SAID = ("printed by an estimator", "written to descriptor 1", "written to descriptor 2", "30 % of a bar")


def lines(text: str) -> list[dict[str, Any]]:
    """The parsed lines of a log; fails for one of another shape."""
    parsed = []
    for line in text.splitlines():
        try:
            parsed.append(json.loads(line))
        except ValueError:
            raise AssertionError(f"no JSON: {line[:300]!r}") from None
        assert {"timestamp", "level", "event", "logger", "pid"} <= parsed[-1].keys(), line
    return parsed


def test_every_line_of_a_journey_is_json(tmp_path: Path, served: Path) -> None:
    """Trainings of a noisy estimator, rejected and predicted files, processes that are killed, a stop and a start."""
    (tmp_path / "noisy.py").write_text(NOISY)
    settings = {"RETRAIND_TRAIN__CANDIDATES": '["logistic", "noisy:Noisy"]', "PYTHONPATH": str(tmp_path)}
    service = Service(tmp_path / "home", **settings).copied(served).start()
    try:
        home: Home = service.home
        service.wait_served(1)
        (home.inbox / "more.csv").write_bytes((ROOT / "examples" / "iris-more.csv").read_bytes())
        (home.inbox / "bad.csv").write_text("a,b\n1,2\n")
        home.predict.mkdir(exist_ok=True)
        (home.predict / "new.csv").write_text("sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n")
        wait_until(lambda: list(home.outbox.glob("*.csv")), 120)
        service.rest()
        wait_until(lambda: "30 % of a bar" in service.log(), 120)
        os.kill(service.workers()[0], signal.SIGKILL)
        trainer = service.trainer()
        if trainer is not None:
            os.kill(trainer, signal.SIGABRT)
        wait_until(lambda: '"worker"' in service.log() or len(service.workers()) == 1, 60)
        assert service.stop() == 0
        service.start()
        service.wait_served(1)
        assert service.stop() == 0
    finally:
        service.end()
    entries = lines((home.root / "stderr.log").read_text())
    printed = {entry["line"] for entry in entries if entry["event"] == "printed"}
    assert printed >= set(SAID)
    said = {(entry["logger"], entry["event"]) for entry in entries}
    assert {("mlflow.tracking", "logged by mlflow.tracking"), ("dvc.repo", "logged by dvc.repo")} <= said
    assert len({entry["pid"] for entry in entries}) >= 3, "of several processes"


CRASHES = {
    "exception": "raise RuntimeError('fell')",
    "thread": "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    "warning": "import warnings; warnings.warn('odd', UserWarning)",
    "mlflow": "import mlflow; import logging; logging.getLogger('mlflow.store').warning('odd')",
    "dvc": "from retraind.daemon.dataset import dvc; import logging; logging.getLogger('dvc.repo').error('odd')",
}


@pytest.mark.parametrize("way", CRASHES)
def test_every_way_out_is_a_line(way: str) -> None:
    """Uncaught exceptions of the main thread and of others, Python's warnings, and libraries with handlers of their own."""
    setup = "from retraind.daemon.core import logs, settings; logs.configure(settings.Log(format='json'))"
    command = [sys.executable, "-c", f"{setup}\n{CRASHES[way]}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == ""
    [entry] = lines(done.stderr)
    if way in ("exception", "thread"):
        assert (entry["level"], entry["event"]) == ("critical", "uncaught")
        assert "Traceback" in entry["exception"]
    else:
        assert "odd" in entry["event"]
    assert done.returncode == (way == "exception")
