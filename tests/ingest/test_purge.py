"""Forgetting with `--purge`: no object of the cache, label or note keeps the rows."""

import forgetting
import pytest
from conftest import names
from forgetting import MANY, answer, checked_out, forget, in_cache, take, text
from ingesting import Parts
from journal_entries import change

from retraind.daemon.core import durable
from retraind.daemon.core.errors import NotFound
from retraind.daemon.records.query import ask, number

pytestmark = pytest.mark.engines(full=True)

merged, parts = pytest.fixture(forgetting.merged), pytest.fixture(forgetting.parts)


def test_purged_rows_are_in_no_object_of_the_cache(merged: Parts) -> None:
    """Merged and rewritten segments that held them go as well; the revisions before can't be checked out, the newest can."""
    parts = merged
    old = parts.dataset.revision()
    forget(parts, 5)
    parts.run()
    between = parts.dataset.revision()
    request = forget(parts, 7, purge=True)
    parts.run()
    said = answer(parts, request)[1]
    assert said.startswith("The 1 rows of f7.csv were forgotten in batch 19. 3 objects")
    assert said.endswith("No version was trained on them.")
    assert in_cache(parts.home) == {*MANY} - {7}
    newest = parts.dataset.revision()
    assert old is not None
    assert between is not None
    assert newest is not None
    assert checked_out(parts.home, newest) == [number for number in MANY if number not in (5, 7)]
    for revision in (old, between):
        with pytest.raises(NotFound, match="purged"):
            checked_out(parts.home, revision)
    parts.reopen()
    parts.run()
    assert parts.dataset.folder.verify({one["name"]: one["sha256"] for one in parts.journal.segments.current()}) == []


def test_purge_may_come_later(parts: Parts) -> None:
    """A drop that was forgotten can still be purged, and asking twice for anything does no harm."""
    take(parts, a=[1], b=[2])
    forget(parts, 2)
    parts.run()
    assert in_cache(parts.home) == {1, 2}
    later = [forget(parts, 2), forget(parts, 2, purge=True), forget(parts, 2, purge=True)]
    parts.run()
    assert [answer(parts, request)[0] for request in later] == ["done"] * 3
    assert in_cache(parts.home) == {1}
    assert len(parts.journal.batches.all()) == 2


def test_labels_and_notes_of_the_drop_go_too(parts: Parts) -> None:
    """A prediction that the drop labelled is without a label again, and what was noted of bad cells is gone; counts stay."""
    take(parts, a=[1], b=[2])
    sha256 = durable.sha256(text(2).encode())
    change(
        parts.journal,
        'INSERT INTO labels (prediction_id, version, prediction, truth, "drop", batch, at) '
        "VALUES ('p1', 1, 'setosa', 'virginica', :drop, 1, '')",
        drop=sha256,
    )
    change(
        parts.journal,
        "INSERT INTO events (at, kind, level, message, \"drop\") VALUES ('', 'quarantined', 'info', 'secret', :drop)",
        drop=sha256,
    )
    assert parts.journal.labels.truths(["p1"]) == {"p1": "virginica"}
    forget(parts, 2)
    parts.run()
    assert parts.journal.labels.truths(["p1"]) == {}
    [label] = ask(parts.home.journal, 'SELECT MAX(rowid) AS last, MAX(truth) AS truth, MAX("drop") AS of FROM labels')
    assert label == {"last": 1, "truth": "", "of": ""}
    assert number(parts.home.journal, "SELECT COUNT(*) FROM events WHERE message = 'secret'") == 0


def test_folder_that_others_may_write_to_is_no_trap(parts: Parts) -> None:
    """Only the quarantine file that the journal names is removed."""
    take(parts, a=[1], b=[2])
    (parts.home.rejected / "mine.bad.csv").write_text("mine")
    forget(parts, 2)
    parts.run()
    assert names(parts.home.rejected) == ["mine.bad.csv"]
