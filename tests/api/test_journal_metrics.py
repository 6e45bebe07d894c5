"""Metrics made from the journal and the history: scores by version, times of the newest, exams, predictions by class."""

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
from journal_entries import a_batch, a_drop, a_version
from prediction_lines import line
from service import wait_until
from sites import Client

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import RunState, VersionState
from retraind.daemon.records.predictions import Predictions
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier


def scores(rolling: float) -> str:
    challenger = {"reference": {"n": 30, "accuracy": 0.9}, "rolling": {"n": 50, "accuracy": rolling}}
    return json.dumps({"challenger": challenger})


def an_exam(error: float) -> Any:
    texts = {"drop": "d", "name": "d.csv", "shifts": "{}", "reason": ""}
    return {**texts, "version": 1, "n": 10, "error": error, "usual": 0.05, "mix": 0.0, "suspicious": 0}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that serves version 1, the oldest of 30."""
    home = Home(tmp_path)
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    pointer = bundles.make(home, 1)
    bundles.point(home, pointer)
    with closing(Journal.open(home.journal)) as journal:
        for number in range(1, 31):
            facts = {"scores": scores(number / 100), "bundle": pointer.manifest if number == 1 else "x"}
            state = VersionState.PROMOTED if number == 1 else VersionState.REFUSED
            journal.versions.judge(a_version(number) | facts, state, "x")
        batch = journal.batches.accept(a_batch(), [a_drop()])
        journal.exams.record([an_exam(0.2)], batch)
        journal.exams.record([an_exam(0.4)], batch)
        run = journal.runs.start("first model", "r", "m", 5, batch)
        journal.runs.end(run, RunState.TRAINED, "done", version=1)
        run = journal.runs.start("again", "r", "m", 5, batch)
        journal.runs.end(run, RunState.FAILED, "no memory")
    return home


def samples(home: Home) -> dict[str, float]:
    """Each sample of a scrape by its name and labels."""
    _, _, body = Client(home).ask("GET", "/prometheus_metrics")
    lines = [line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_newest_and_served_versions_have_scores(home: Home) -> None:
    metrics = {name: value for name, value in samples(home).items() if name.startswith("retraind_holdout_score")}
    numbers = sorted({int(re.findall(r'version="(\d+)"', name)[0]) for name in metrics})
    assert numbers == [1, *range(11, 31)]
    assert metrics['retraind_holdout_score{holdout="rolling",version="30"}'] == 0.3
    assert metrics['retraind_holdout_score{holdout="reference",version="1"}'] == 0.9


def test_times_and_exams_are_those_of_the_newest(home: Home) -> None:
    metrics = samples(home)
    times = {name: metrics[f"retraind_last_{name}_timestamp_seconds"] for name in ("drop", "training", "success")}
    assert 1.7e9 < times["drop"] <= times["success"] <= times["training"]
    assert (metrics["retraind_exam_last_error"], metrics["retraind_exam_usual_error"]) == (0.4, 0.05)


def test_home_without_any_of_them_has_no_samples(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    metrics = samples(home)
    names = ("retraind_last_", "retraind_exam_", "retraind_holdout_", "retraind_recent_")
    assert [name for name in metrics if name.startswith(names)] == []


def test_predictions_are_counted_by_a_bounded_number_of_classes(home: Home) -> None:
    """The 20 most frequent of the served version's newest 1,000; no history can make more labels."""
    rows = [line(n, prediction_name="setosa") for n in range(500)]
    rows += [line(500 + n, prediction_name="late" if n < 600 else f"rare{n}") for n in range(640)]
    rows += [line(2000 + n, prediction_name="other version", model_version=2) for n in range(50)]
    (home.logs / "predictions-0-20260101T000000000000-1.jsonl").write_bytes(b"".join(row + b"\n" for row in rows))
    copier = HistoryCopier(home, Settings())
    copier.start()
    try:
        wait_until(lambda: len(Predictions(home.history).newest(2000)) == len(rows), 20)
    finally:
        copier.stop()
    metrics = {name: value for name, value in samples(home).items() if name.startswith("retraind_recent_predictions")}
    assert len(metrics) == 21
    assert sum(metrics.values()) == 1000
    assert metrics['retraind_recent_predictions{class="late"}'] == 600
    assert metrics['retraind_recent_predictions{class="setosa"}'] == 360
    assert metrics['retraind_recent_predictions{class="other"}'] == 40 - 18
