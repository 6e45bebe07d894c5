"""A worker whose disk fails or whose process dies at the fsync of its prediction log: what clients hear, and what is kept."""

import errno
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sites import PREDICTION, ROOT, Site
from tracer import SUPPORTED

from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.records.records import Records
from retraind.daemon.storage.prediction_history import HistoryCopier

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not SUPPORTED, reason="the tracer knows the system calls of x86_64 only"),
]

STRICT = Settings(predictions=Predictions(durability="strict"))
BATCH = {"instances": [PREDICTION["features"]] * 3}


class Traced(Site):
    """A site whose worker runs under the tracer, with a fault at its n-th fsync of a file."""

    def __init__(self, root: Path, settings: Settings, **fault: Any) -> None:
        self._fault = {"calls": ["fdatasync"], **fault}
        super().__init__(root, settings)

    def start(self) -> "subprocess.Popen[bytes]":
        fd = self.listener.fileno()
        options = ["--home", str(self.home.root), "--slot", "0", "--fd", str(fd)]
        command = [sys.executable, "tests/faults/serving.py", json.dumps(self._fault), str(self.home.root), "--"]
        with (self.home.root / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *options, "--settings", self.settings.model_dump_json()],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                pass_fds=[fd],
                stderr=log,
                stdout=subprocess.PIPE,
            )
        return self.process

    @property
    def pid(self) -> int:
        (lock,) = self.home.workers.glob("0-*.lock")
        return int(lock.stem.split("-")[1])

    def end(self, number: int = signal.SIGTERM) -> list[str]:
        """End the worker; returns the calls that counted."""
        os.kill(self.pid, number)
        out, _ = self.process.communicate(timeout=20)
        calls: list[str] = json.loads(out)["calls"]
        return calls

    def kept(self) -> list[str]:
        """The predictions in the history, once all files are copied."""
        history_copier = HistoryCopier(self.home, self.settings)
        history_copier.copy()
        history_copier.close()
        return [row["prediction_id"] for row in Records(self.home).predictions.newest(1000)]


@pytest.fixture
def traced(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Traced]:
    settings, fault = request.param
    site = Traced(tmp_path, settings, **fault)
    yield site
    if site.process.poll() is None:
        os.kill(site.pid, signal.SIGKILL)
        site.process.communicate()
    site.listener.close()


@pytest.mark.parametrize("traced", [(STRICT, {"at": 1, "kind": "kill"})], indirect=True)
def test_no_answer_comes_before_the_fsync(traced: Traced) -> None:
    with pytest.raises((http.client.BadStatusLine, ConnectionError)):
        traced.post("/predict", PREDICTION)
    assert b'"hit": true' in traced.process.communicate()[0]


@pytest.mark.parametrize(
    ("traced", "body"),
    [
        pytest.param((STRICT, {"at": 1, "kind": "once", "error": number}), body, marks=marks)
        for number, body, marks in (
            (errno.EIO, PREDICTION, ()),
            (errno.ENOSPC, BATCH, ()),
            (errno.EIO, BATCH, pytest.mark.slow),
            (errno.ENOSPC, PREDICTION, pytest.mark.slow),
        )
    ],
    indirect=["traced"],
)
def test_what_the_disk_did_not_keep_is_not_answered(traced: Traced, body: dict[str, Any]) -> None:
    status, problem = traced.post("/predict", body)
    assert (status, problem["detail"].partition(":")[0]) == (503, "The prediction may not have been kept")
    assert "prediction_log" in "".join(traced.get("/health")[1]["reasons"])
    status, answer = traced.post("/predict", PREDICTION)
    assert status == 200
    assert "prediction_log" not in "".join(traced.get("/health")[1]["reasons"])
    assert len(list(traced.home.logs.glob("*.jsonl"))) == 2, "a file whose fsync failed gets no more lines"
    assert traced.end() == ["fdatasync"] * 2
    assert traced.kept()[0] == answer["prediction_id"]


@pytest.mark.parametrize("traced", [(STRICT, {"at": 1, "kind": "forever"})], indirect=True)
def test_while_the_disk_keeps_nothing_no_answer_is_sent(traced: Traced) -> None:
    assert {traced.post("/predict", PREDICTION)[0] for _ in range(5)} == {503}
    assert traced.get("/livez")[0] == 200


@pytest.mark.parametrize("traced", [(Settings(), {"at": 1, "kind": "forever"})], indirect=True)
def test_relaxed_a_failing_fsync_costs_no_answer_and_is_reported(traced: Traced) -> None:
    assert traced.post("/predict", PREDICTION)[0] == 200
    time.sleep(1.2)
    assert "if the power fails" in "".join(traced.get("/health")[1]["reasons"])
    assert traced.post("/predict", PREDICTION)[0] == 200
    traced.end()
    assert len(traced.kept()) == 2


@pytest.mark.parametrize("traced", [(Settings(), {"at": 0, "calls": ["fdatasync", "fsync"]})], indirect=True)
def test_relaxed_the_log_is_synced_within_a_second_and_only_if_written_to(traced: Traced) -> None:
    traced.post("/predict", PREDICTION)
    time.sleep(2.5)
    traced.post("/predict", PREDICTION)
    time.sleep(1)
    assert traced.end(signal.SIGKILL) == ["fdatasync", "fsync", "fdatasync"], "file, its name, file"


@pytest.mark.parametrize("traced", [(STRICT, {"at": 0})], indirect=True)
def test_requests_at_the_same_time_share_an_fsync(traced: Traced) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: traced.post("/predict", PREDICTION), range(200)))
    assert {status for status, _ in answers} == {200}
    assert 0 < len(traced.end()) < 200
    assert set(traced.kept()) == {answer["prediction_id"] for _, answer in answers}
