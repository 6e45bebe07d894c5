"""retraind.web.dashboard.pipeline: the steps of the page follow the work. A real journal and pointer on disk."""

import pytest
import stories
from stories import Story, a_dead_daemon, alive, now_as_text

from retraind.daemon.core.states import RunState
from retraind.daemon.core.status import Training
from retraind.daemon.records.records import Records
from retraind.web.dashboard.answers.questions import gather
from retraind.web.dashboard.pipeline import steps

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def test_steps_follow_the_work(story: Story) -> None:
    def work() -> list[str]:
        return [step["state"] for step in story.document(alive())["now"]["steps"]]

    assert work() == ["idle"] * 5
    story.journal.batches.accept(
        {"segment": "s", "sha256": "e", "md5": "0", "rows": 50, "bytes": 1}, [story.drop("a.csv")]
    )
    assert work() == ["done", "active", "idle", "idle", "idle"]
    story.journal.batches.commit(1, "a" * 40, "d" * 32)
    run = story.journal.runs.start("first model", "a" * 40, "d" * 32, 50)
    assert work() == ["done", "done", "active", "idle", "idle"]
    story.journal.runs.end(run, RunState.TRAINED, "forest", version=1)
    assert work() == ["done", "done", "done", "active", "idle"]
    story.judge(1, "promoted")
    assert work() == ["done"] * 5
    story.judge(2, "refused", old=1)
    assert work() == ["done", "done", "done", "failed", "done"]


def test_a_training_shows_its_stage(well: Story) -> None:
    training = Training(run=2, reason="50 new rows", stage="fitting tree", step=3, steps=7, since=now_as_text())
    now = well.document(alive(training=training, backlog_files=2, backlog_bytes=1500))["now"]
    assert now["steps"][2]["detail"] == "fitting tree"
    assert (now["steps"][2]["step"], now["steps"][2]["steps"]) == (3, 7)
    assert now["steps"][0]["detail"] == "2 files, 1.5 kB"
    assert "50 new rows" in now["sentence"]
    dead = gather(well.home, Records(well.home), a_dead_daemon(well), {}, None)
    assert "no daemon" in steps(dead)["sentence"]


@pytest.mark.parametrize(("pending", "said"), [(20, "30 more rows start a training"), (60, "60 new rows are enough")])
def test_what_a_training_waits_for_is_reported(well: Story, pending: int, said: str) -> None:
    """The page says why no training runs: too few rows, or the pause between two trainings."""
    assert said in well.document(alive(rows_pending=pending))["now"]["sentence"]


def test_only_the_schedule_starts_trainings(well: Story) -> None:
    """With `retrain.threshold_rows = 0` no number of rows is waited for, so none is shown."""
    planned = {"threshold_rows": 0, "next_schedule": "2026-12-01T03:00:00+00:00"}
    document = well.document(alive(rows_pending=20, **planned))
    assert document["now"]["sentence"] == "20 new rows; the next training starts on retrain.schedule."
    assert well.document(alive(**planned))["now"]["sentence"] == "Waiting for drops."
    shown = [entry["label"] for tile in document["tiles"] for entry in tile["facts"]]
    assert "next training" in shown
    assert "to next training" not in shown
