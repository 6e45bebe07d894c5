"""retraind.daemon.registry.baseline and retraind.daemon.training.evaluation.new_reference: the reference belongs to the version that serves."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sklearn.tree import DecisionTreeClassifier
from test_split import NOW, NUMBERS, read
from test_times import dated

from retraind.daemon import model
from retraind.daemon.artifacts.bundle import Model
from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import VersionState
from retraind.daemon.registry import baseline
from retraind.daemon.schema.arrival_times import Era, Window
from retraind.daemon.schema.scores import PastScores
from retraind.daemon.storage.journal import Journal
from retraind.daemon.training.data.holdout_assignment import PastAssignment
from retraind.daemon.training.data.split import By
from retraind.daemon.training.evaluation import new_reference
from retraind.daemon.training.evaluation.baseline_comparison import Rules


def judged(journal: Journal, version: int, state: str, **scores: Any) -> None:
    """A version with its verdict."""
    texts = dict.fromkeys(("mlflow_run", "bundle", "candidate", "backend", "revision", "dvc_md5", "trigger"), "x")
    merged = {"challenger": {"reference": {"n": 9}, "rolling": {"n": 99}}, "split": {"reference": "9-a"}, **scores}
    numbers = {"version": version, "rows": 0, "trained_rows": 0}
    record: Any = {**texts, **numbers, "scores": json.dumps(merged)}
    journal.versions.judge(
        record,
        VersionState(state),
        "so",
    )


def test_era_goes_with_the_served_version(journal: Journal) -> None:
    """Who goes back to a version of before the change is judged by the first drop again; nothing else is in the job."""
    judged(journal, 1, "promoted")
    judged(journal, 2, "promoted", world={"since": 5, "until": 7, "objection": "no"}, importance=[1] * 1000)
    judged(journal, 3, "refused", world=None)
    gates = {
        served: json.loads(json.dumps(baseline.gate_terms(journal, Promote(), served))) for served in (None, 1, 2, 9)
    }
    assert {served: new_reference.era(gate) for served, gate in gates.items()} == {
        None: None,
        1: None,
        2: Era(5, 7),
        9: None,
    }
    gate = new_reference.gate(gates[2])
    assert gate is not None
    reference: PastScores = {"challenger": {"reference": {"n": 9}}, "split": {"reference": "9-a"}}
    assert gate == new_reference.Gate(Promote(), {1: reference, 2: reference})
    assert (new_reference.gate(None), new_reference.era(None)) == (None, None)


@pytest.mark.parametrize("rows", [0, 1500, 1700], ids=["no window", "whole drops", "part of a drop"])
def test_rows_of_a_new_era_are_the_same_for_who_reads_them_again(tmp_path: Path, rows: int) -> None:
    """Trained on a window that parts a drop, and read again without knowing what it judged before: by reproduction, or the next training."""
    late = (NOW + timedelta(days=9)).timestamp() * 1000
    nights = [dated(500 * night, 500 * night + 500, str(night), NOW + timedelta(days=night)) for night in range(3, 7)]
    tables = [dated(0, 500, "9"), *nights]
    champion = model.fit(DecisionTreeClassifier(random_state=0, max_depth=4), *read(tmp_path, tables[:1]).training)
    before = PastAssignment(NUMBERS, By.CONTENT, 0.2, NOW.timestamp() * 1000)
    window = Window(rows, now=late)
    data = read(tmp_path, tables, window=window, before=before)
    served = Model.__new__(Model)
    manifest: Any = type("Manifest", (), {"data_schema": NUMBERS, "settings": {}})
    served.__init__(manifest, "", lambda given: model.answers(champion, given, NUMBERS))  # type: ignore[misc]
    challenger = model.fit(DecisionTreeClassifier(random_state=1, max_depth=4), *data.training)
    gate = new_reference.Gate(Promote(follow_days=2), {})
    scores = new_reference.compare(challenger, served, data, None, Rules(), gate).scores
    assert "objection" in (scores["world"] or {})
    again = read(tmp_path, tables, window=window, era=Era.of(scores))
    comparison = new_reference.compare(challenger, None, again, None, Rules(), None).scores
    assert comparison["challenger"] == scores["challenger"]
    assert comparison["split"] == scores["split"]
