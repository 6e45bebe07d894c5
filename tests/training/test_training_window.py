"""Trainings on a window of the newest rows, and the reference after a change of the world."""

from datetime import UTC, datetime, timedelta

import pytest
import workshop
from workshop import LEAVES, Workshop, leaves

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote
from retraind.daemon.schema.arrival_times import Window
from retraind.daemon.training.data.revision import Data

taught = pytest.fixture(scope="module")(workshop.taught)

# Windows


def test_window_takes_the_newest_rows_and_leaves_the_reference(mlflow_home: Home) -> None:
    """Of three batches only the last two teach; the holdout of the first goes on judging, the rolling one forgets it."""
    workshop = Workshop(mlflow_home, LEAVES)
    for seed in range(3):
        workshop.add(leaves("ash elm", 50, seed=seed))
    everything = workshop.train("tree")
    newest = workshop.train("tree", window_rows=200)
    before, after = (one.scores["challenger"] for one in (everything, newest))
    assert (everything.rows, newest.rows) == (300, 300)
    assert after["reference"]["n"] == before["reference"]["n"] > 0
    assert after["rolling"]["n"] == before["rolling"]["n"] - before["reference"]["n"]
    assert newest.twin is not None
    assert newest.twin.trained_rows + after["rolling"]["n"] == 200
    assert newest.trained_rows == 200, "the reference judges, but what left the window trains nothing"


def test_window_of_days_ends_with_the_newest_row(mlflow_home: Home) -> None:
    """Counted back from the newest row and not from today, so that a training can be repeated."""
    workshop = Workshop(mlflow_home, LEAVES)
    for seed, day in enumerate((1, 20, 22)):
        workshop.add(leaves("ash elm", 50, seed=seed), datetime(2026, 1, day, tzinfo=UTC))
    manifest = workshop.train("tree", window_days=5)
    assert (manifest.trained_rows, manifest.scores["taught"]["n"] + manifest.scores["challenger"]["rolling"]["n"]) == (
        200,
        200,
    )
    both = workshop.train("tree", window_days=5, window_rows=60)
    assert (both.trained_rows, both.scores["taught"]["n"] + both.scores["challenger"]["rolling"]["n"]) == (60, 60)


def test_rows_of_a_wrong_clock_shift_no_window(mlflow_home: Home) -> None:
    """Those accepted in 2098 or 1970 count as accepted with the rows before them, and leave the window with these."""
    workshop = Workshop(mlflow_home, LEAVES)
    workshop.add(leaves("ash elm", 50), datetime(2026, 1, 1, tzinfo=UTC))
    for year in (2098, 1970):
        workshop.add(leaves("ash elm", 10, seed=year), datetime(year, 5, 6, tzinfo=UTC))
    workshop.add(leaves("ash elm", 40, seed=1), datetime(2026, 1, 3, tzinfo=UTC))

    now = datetime(2026, 1, 4, tzinfo=UTC).timestamp() * 1000

    def taken(rows: int = 0, days: float = 0.0) -> int:
        window = Window(rows, days, now)
        return int(Data.read(mlflow_home.segments, workshop.segments, LEAVES, 100, 0.2, window).recent.sum())

    assert [taken(days=days) for days in (0, 5, 1)] == [220, 220, 80]
    assert taken(rows=90) == 90


def test_changed_world_has_a_new_reference(mlflow_home: Home) -> None:
    """Three days on which ash and elm have changed their names: they judge, and go on judging the next version."""
    workshop, day = Workshop(mlflow_home, LEAVES), datetime(2026, 3, 2, tzinfo=UTC)
    workshop.gate = {"promote": Promote().model_dump(), "past": [], "era": None}
    workshop.add(leaves("ash elm", 150), day)
    first = workshop.train("tree")
    for seed in range(1, 5):
        cells, day = leaves("ash elm", 150, seed=seed), day + timedelta(days=1)
        workshop.add(cells | {"tree": [{"ash": "elm", "elm": "ash"}[tree] for tree in cells["tree"]]}, day)
        if seed == 3:
            turned = workshop.train("tree")
    world = turned.scores["world"]
    assert datetime.fromtimestamp(world["since"] / 1000, UTC) == datetime(2026, 3, 3, tzinfo=UTC)
    assert (world["days"], world["drops"]) == (3, 3)
    assert "on the reference holdout" in world["objection"]
    reference, rolling = (turned.scores["challenger"][name] for name in ("reference", "rolling"))
    assert reference == rolling
    assert reference["n"] > first.scores["challenger"]["reference"]["n"]
    assert turned.scores["marks"] == {}
    workshop.gate["era"] = (world["since"], world["until"])
    after = workshop.train("tree").scores
    assert after["world"] == {"since": world["since"], "until": world["until"]}
    assert after["split"]["reference"] == turned.scores["split"]["reference"]
    assert [after["marks"][who]["version"] for who in ("champion", "mark")] == [2, 2], (
        "the first has answered other rows"
    )
    assert after["marks"]["champion"]["n"] > reference["n"], "those of its rows that teach, by cross-validation"
    assert after["challenger"]["rolling"]["n"] > reference["n"]
    workshop.gate["era"] = (0, 1)
    assert workshop.train("tree").scores["split"]["reference"] == first.scores["split"]["reference"], (
        "rows are forgotten"
    )
