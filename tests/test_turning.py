"""daemon.baseline and daemon.turning: the reference belongs to the version that serves."""

import json
from typing import Any

from daemon import baseline, turning
from daemon.arrivals import Era
from daemon.journal import Journal
from daemon.settings import Promote


def judged(journal: Journal, version: int, state: str, **scores: Any) -> None:
    """A version with its verdict."""
    texts = dict.fromkeys(("mlflow_run", "bundle", "candidate", "backend", "revision", "dvc_md5", "trigger"), "x")
    found = {"challenger": {"reference": {"n": 9}, "rolling": {"n": 99}}, "split": {"reference": "9-a"}, **scores}
    journal.judge({**texts, "version": version, "rows": 0, "trained_rows": 0, "scores": json.dumps(found)}, state, "so")


def test_era_goes_with_the_served_version(journal: Journal) -> None:
    """Who goes back to a version of before the change is judged by the first drop again; nothing else is in the job."""
    judged(journal, 1, "promoted")
    judged(journal, 2, "promoted", world={"since": 5, "until": 7, "objection": "no"}, importance=[1] * 1000)
    judged(journal, 3, "refused", world=None)
    gates = {served: json.loads(json.dumps(baseline.gate(journal, Promote(), served))) for served in (None, 1, 2, 9)}
    assert {served: turning.era(gate) for served, gate in gates.items()} == {None: None, 1: None, 2: Era(5, 7), 9: None}
    gate = turning.gate(gates[2])
    assert gate is not None
    reference = {"challenger": {"reference": {"n": 9}}, "split": {"reference": "9-a"}}
    assert gate == turning.Gate(Promote(), {1: reference, 2: reference})
    assert (turning.gate({}), turning.era({})) == (None, None)
