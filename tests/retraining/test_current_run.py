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


def test_remark_is_in_the_record_of_the_run(home: Home, journal: Journal) -> None:
    """Such as what a time budget has cut."""
    run = CurrentRun(journal, RecordedFacts(journal, Schedule(""), lambda: None))
    for number, remark in enumerate(("", "train.budget_seconds = 1 was used up."), 1):
        assert journal.runs.start("test", "a" * 40, "b" * 32, 150) == number
        run.begin(Training(run=number, reason="test", stage="starting", step=0, steps=1, since=""), 0.0)
        assert run.handle({"run": number, "done": number, "seconds": 2.0, "remark": remark})
    details = [row["detail"] for row in ask(home.journal, "SELECT detail FROM runs ORDER BY id")]
    assert details == ["version 1 after 2.0 s", "version 2 after 2.0 s. train.budget_seconds = 1 was used up."]
