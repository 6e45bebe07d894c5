"""Requests with many rows, a worker that is killed in the middle of them, and a disk that fills: what was answered is in the history once."""

import http.client
import itertools
import json
import resource
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from postgres import Place
from sites import PREDICTION, Site

from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.storage.prediction_history import HistoryCopier

ROWS = 4000
MANY = {"instances": [PREDICTION["features"]] * ROWS}
BATCH = json.dumps(MANY).encode()


def history_of(site: Site) -> Counter[str]:
    """How often each prediction is in the history, once all files are copied."""
    history_copier = HistoryCopier(site.home, site.settings)
    history_copier.copy()
    history_copier.close()
    assert history_copier.skipped == 0, "a line that is none"
    with closing(sqlite3.connect(site.home.history)) as history:
        return Counter(key for (key,) in history.execute("SELECT prediction_id FROM predictions ORDER BY seq"))


@pytest.mark.parametrize(
    ("durability", "engine", "moments"),
    [
        ("relaxed", "sqlite", (0.1, 0.3)),
        ("strict", "postgres", (0.1, 0.3)),
        pytest.param("relaxed", "postgres", (0.1, 0.2, 0.3), marks=pytest.mark.slow),
        pytest.param("strict", "sqlite", (0.1, 0.2, 0.3), marks=pytest.mark.slow),
    ],
    indirect=["engine"],
)
def test_a_worker_that_is_killed_in_many_rows_loses_and_doubles_nothing(
    tmp_path: Path, durability: str, engine: Place, moments: tuple[float, ...]
) -> None:
    """Files rotate in the middle of requests, and the history is copied while they are written."""
    kept = Predictions(durability=durability, rotate_bytes=400_000)
    site = Site(tmp_path, Settings(predictions=kept), place=engine)
    answered: list[str] = []
    interrupted: list[Exception] = []
    history_copier = HistoryCopier(site.home, site.settings)
    asking = threading.Event()  # reading the answers takes most of the time

    def ask(body: bytes, times: int, copied: threading.Event, killed: threading.Event) -> None:
        try:
            for number in itertools.count():
                if number == times:  # or the copying would never catch up
                    copied.wait(60)
                if killed.is_set():
                    break
                asking.set()
                status, _, text = site.ask("POST", "/predict", body)
                asking.clear()
                assert status == 200, text
                answer = json.loads(text)
                answered.extend(row["prediction_id"] for row in answer.get("predictions", [answer]))
        except (OSError, http.client.HTTPException) as error:
            interrupted.append(error)

    for moment in moments:
        site.wait(1)
        copied, killed = threading.Event(), threading.Event()
        bodies = ((BATCH, 8), (json.dumps(PREDICTION).encode(), 400))
        threads = [threading.Thread(target=ask, args=(*body, copied, killed)) for body in bodies]
        for thread in threads:
            thread.start()
        time.sleep(moment / 2)
        history_copier.copy()
        copied.set()
        time.sleep(moment / 2)
        asking.wait(10)
        site.process.kill()
        site.process.wait()
        killed.set()
        site.start()  # who asks between two workers is answered by the next
        for thread in threads:
            thread.join()
    history_copier.close()
    site.close()
    history = history_of(site)
    assert answered
    assert interrupted, "no request was under way when a worker was killed"
    assert set(history.values()) == {1}
    assert set(answered) <= history.keys()
    assert not list(site.home.logs.glob("*.jsonl"))


@pytest.mark.parametrize(("durability", "status"), [("relaxed", 200), ("strict", 503)])
def test_a_disk_that_fills_in_many_rows_leaves_whole_lines(tmp_path: Path, durability: str, status: int) -> None:
    kept = Predictions(durability=durability)
    site = Site(tmp_path, Settings(predictions=kept))
    limit = resource.prlimit(site.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(site.process.pid, resource.RLIMIT_FSIZE, (200_000, limit[1]))
    code, answer = site.post("/predict", MANY)
    assert code == status
    assert "prediction_log" in "".join(site.get("/health")[1]["reasons"])
    lost = site.get("/metrics")[1]["predictions_lost"]
    resource.prlimit(site.process.pid, resource.RLIMIT_FSIZE, limit)
    after = site.post("/predict", PREDICTION)[1]["prediction_id"]
    assert "prediction_log" not in "".join(site.get("/health")[1]["reasons"])
    site.stop()
    history = history_of(site)
    site.close()
    assert set(history.values()) == {1}
    assert history.pop(after)
    assert 1000 < len(history) < ROWS
    if durability == "strict":
        assert lost == 0
    else:
        assert lost == ROWS - len(history)
        # A short piece may fit where the long one before it did not.
        answered = [row["prediction_id"] for row in answer["predictions"]]
        assert list(history) == [each for each in answered if each in history]
