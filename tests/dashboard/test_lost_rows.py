"""Rows that an accepted drop has lost: the page and `retraind status` ask for attention. A real journal on disk."""

import pytest
import stories
from stories import Story, alive

from retraind.daemon.cli.report import health
from retraind.daemon.core import status
from retraind.daemon.core.states import EventKind, Level
from retraind.web.dashboard.tiles import Tile

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def lose(story: Story, bad: int) -> str:
    """Accept a drop of 200 rows of which some are bad; returns its sha256."""
    batch = {"segment": "lost", "sha256": "f" * 64, "md5": "1" * 32, "rows": 200 - bad, "bytes": 1}
    counts = {"rows_accepted": 200 - bad, "rows_refused": bad, "reason": "'#NV' is not a number.", "bad_file": "b"}
    drop = story.drop("lossy.csv", rows=200, **counts)
    seq = story.journal.batches.accept(batch, [drop])  # type: ignore[arg-type]
    story.journal.events.record(EventKind.QUARANTINED, "Bad rows.", level=Level.WARNING, drop=drop["sha256"], batch=seq)
    return str(drop["sha256"])


def data(story: Story) -> Tile:
    return story.document(alive())["tiles"][2]


def on_data(story: Story) -> list[str]:
    """The sentences of `retraind status` on data."""
    return [reason["sentence"] for reason in health.read(story.home)["attention"] if reason["about"] == "data"]


def test_loss_asks_for_attention_until_it_is_acknowledged(well: Story) -> None:
    """A tenth of the rows or more: amber in the banner, the card and the status."""
    sha256 = lose(well, 60)
    document = well.document(alive())
    assert document["verdict"]["state"] == data(well)["state"] == "watch"
    assert data(well)["sentence"] == "60 of 200 rows of lossy.csv were rejected (30%): '#NV' is not a number."
    status.publish(well.home.status, alive())
    assert on_data(well) == [data(well)["sentence"]]
    assert "data: 60 of 200 rows of lossy.csv" in health.as_text(health.read(well.home))
    well.journal.acknowledgements.record(well.journal.acknowledgements.of_drop(sha256, 10), "me")
    assert data(well)["state"] == well.document(alive())["verdict"]["state"] == "ok"
    status.publish(well.home.status, alive())
    assert on_data(well) == []


def test_exactly_a_tenth_is_not_silent(well: Story) -> None:
    lose(well, 20)
    assert data(well)["state"] == "watch"


def test_few_bad_rows_are_everyday(well: Story) -> None:
    lose(well, 19)
    assert data(well)["state"] == "ok"
    status.publish(well.home.status, alive())
    assert on_data(well) == []
