"""retraind.daemon.processes.training_job: what goes over the pipe comes out as it went in. The real trainer is in tests/training/test_failing.py."""

import orjson

from retraind.daemon.core.home import Home
from retraind.daemon.gate.terms import Terms
from retraind.daemon.processes.training_job import Job


def test_job_is_the_same_at_the_other_end() -> None:
    settings = {"candidates": ["logistic", "forest"], "holdout": 0.25}
    terms: Terms = {"promote": {"floor": 0.5}, "past": [], "era": None}
    job = Job(3, "drift", "a" * 40, "b" * 32, {"s.parquet": "c" * 64}, 60, settings, 2, "d" * 64, [1, 2], terms)
    other = Job(**orjson.loads(orjson.dumps(job)))
    assert other == job
    assert other.train.holdout == 0.25


def test_lock_and_counters_of_a_worker_differ_by_their_suffix_alone(home: Home) -> None:
    """Whoever has the one finds the other by it."""
    assert home.worker_counters(0, 17).with_suffix(".lock") == home.worker_lock(0, 17)
    assert home.worker_counters(0, 17).match(home.worker_counters(0, "*").name)
