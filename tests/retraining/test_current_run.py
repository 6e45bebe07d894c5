"""retraind.daemon.retraining.current_run: what a training says of the place where its candidates are compared."""

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind
from retraind.daemon.core.status import Training
from retraind.daemon.records.query import ask
from retraind.daemon.retraining.current_run import CurrentRun
from retraind.daemon.retraining.recorded_facts import RecordedFacts
from retraind.daemon.retraining.schedule import Schedule
from retraind.daemon.storage.journal import Journal

HERE = "Candidates are compared on this machine."


def test_candidates_that_are_compared_elsewhere_than_set_are_an_event(home: Home, journal: Journal) -> None:
    """Once for each cause; the newest is kept for the health until a training finds all in order."""
    run = CurrentRun(journal, RecordedFacts(journal, Schedule(""), lambda: None))
    run.begin(Training(run=1, reason="test", stage="starting", step=0, steps=1, since=""), 0.0)
    for problem in ("Dask is gone.", "Dask is gone.", ""):
        assert not run.handle({"run": 1, "engine": HERE, "problem": problem})
        assert run.compared == {"run": 1, "engine": HERE, "problem": problem}
    events = [(row["kind"], row["level"], row["message"]) for row in ask(home.journal, "SELECT * FROM events")]
    assert events == [(EventKind.TRAINING, "warning", f"Dask is gone. {HERE}")]
