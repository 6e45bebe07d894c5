"""retraind.daemon.core.states and retraind.daemon.core.journal_rows: what a query gives becomes the row's type."""

from retraind.daemon.core.journal_rows import DriftRow, EventRow, RunRow, VersionFacts
from retraind.daemon.core.states import Level, RunState, VersionState, of_type


def test_texts_of_closed_sets_become_their_members() -> None:
    """Inherited columns too; a query may leave columns out."""
    assert of_type(RunRow, {"id": 1, "state": "trained"})["state"] is RunState.TRAINED
    assert of_type(VersionFacts, {"state": "rolled back"})["state"] is VersionState.ROLLED_BACK
    assert dict(of_type(DriftRow, {"id": 1})) == {"id": 1}


def test_text_of_a_later_release_stays_a_text() -> None:
    row = of_type(EventRow, {"kind": "new kind", "level": "fatal", "message": "trained"})
    assert dict(row) == {"kind": "new kind", "level": "fatal", "message": "trained"}
    assert of_type(EventRow, {"level": "error"})["level"] is Level.ERROR
