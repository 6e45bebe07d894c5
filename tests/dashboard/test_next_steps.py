"""What the page says without a model: what is true now, and what comes next. A dead daemon or trainer is never training."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stories
from stories import Story, a_dead_daemon, alive

from retraind.daemon.core.states import RunState
from retraind.daemon.core.status import Check, Status, Training
from retraind.web.dashboard import next_steps

story = pytest.fixture(stories.story)

TRAINING: Any = {"run": 3, "reason": "first model", "stage": "cross-validating tree", "step": 2, "steps": 7}
RUNNING = Training(**TRAINING, since="2026-01-01T00:00:00Z", candidate=2, candidates=5, left=19.6)


def says(story: Story, status: Status | None) -> tuple[str, str]:
    """Headline and sentence of the tile on the served model."""
    document = story.document(status)
    tile = next(tile for tile in document["tiles"] if tile["id"] == "serving")
    return tile["headline"], tile["sentence"]


def test_training_says_how_far_it_is(story: Story) -> None:
    story.accept("a.csv")
    assert says(story, alive(training=RUNNING)) == (
        "No model yet: training",
        "Training 3: 2 of 5 candidates, about 20 s left for all candidates.",
    )
    early = RUNNING.model_copy(update={"candidate": None, "stage": "reading rows"})
    assert says(story, alive(training=early))[1] == "Training 3: reading rows."


def test_dead_daemon_does_not_look_like_training(story: Story) -> None:
    story.accept("a.csv")
    dead = a_dead_daemon(story).model_copy(update={"training": RUNNING})
    for status in (dead, None):
        headline, sentence = says(story, status)
        assert "training" not in headline
        assert sentence == next_steps.STOPPED
    assert "at work" not in str(story.document(dead)["now"]).lower()
    assert "Idle: no daemon is running." in story.document(dead)["now"]["sentence"]


def test_dead_trainer_does_not_look_like_training(story: Story) -> None:
    story.accept("a.csv")
    broken = {"trainer": Check(ok=False, detail="It can't start, and tries again: no memory")}
    headline, sentence = says(story, alive(training=RUNNING, checks=broken))
    assert headline == "No model yet"
    assert sentence == "No training runs, because the trainer does not: It can't start, and tries again: no memory"


def test_too_few_rows_says_how_many_there_are_and_what_lacks(story: Story) -> None:
    lacking = "There are fewer than two classes with two rows (12 of setosa) to train on. Drop rows of another class."
    status = alive(rows=12, checks={"training": Check(ok=False, detail=lacking)})
    assert says(story, status) == ("No model yet: too few rows", f"12 rows so far. {lacking}")


def test_failed_training_says_why_and_when_it_is_tried_again(story: Story) -> None:
    story.accept("a.csv")
    run = story.journal.runs.start("first model", f"{1:040x}", "d" * 32, 50)
    story.journal.runs.end(run, RunState.FAILED, "No memory is left.")
    later = (datetime.now(UTC) + timedelta(seconds=59.5)).isoformat()
    headline, sentence = says(story, alive(rows=50, cooled_at=later))
    assert headline == "No model yet: training failed"
    assert sentence.startswith(f"Training {run} failed: No memory is left. It is tried again at 2")
    assert sentence.endswith("s), or at once with `retraind retrain`.")
    past = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    assert "It is tried again now" in says(story, alive(rows=50, cooled_at=past))[1]


def test_missing_and_wrong_schema_differ(story: Story) -> None:
    missing = {"schema": Check(ok=False, detail="There is none yet: run `retraind init FILE --target COL`.")}
    headline, sentence = says(story, alive(checks=missing))
    assert headline == "No schema yet"
    assert "retraind init FILE --target COLUMN" in sentence
    wrong = {"schema": Check(ok=False, detail="data/schema.json is not valid.")}
    assert says(story, alive(checks=wrong)) == ("The schema can't be used", "data/schema.json is not valid.")


def test_version_that_did_not_pass_is_named(story: Story) -> None:
    story.accept("a.csv")
    story.judge(1, "refused")
    assert says(story, alive(rows=50)) == (
        "No version passed the gate",
        "v1 is refused: The gate's sentence about version 1.",
    )


def test_empty_home_says_what_trains_the_first_model(story: Story) -> None:
    assert says(story, alive())[1] == "No rows yet: the first accepted ones train a model."
    assert says(story, alive(backlog_files=2))[1] == "2 files in the inbox; the first accepted rows train one."


def test_standby_and_start_are_said(story: Story) -> None:
    leader = {"leader": Check(ok=True, detail="hostb leads.")}
    assert says(story, alive(state="standby", checks=leader)) == (
        "No model here",
        "This machine stands by. hostb leads.",
    )
    assert says(story, alive(state="starting"))[1] == "The daemon is starting."


def test_next_steps_name_what_blocks_and_what_waits() -> None:
    now = datetime.now(UTC)
    full = alive(checks={"disk": Check(ok=False, detail="Less than 100 MiB are free.")}, backlog_files=3)
    assert next_steps.sentences(full, [], now)[0] == "Nothing is taken: disk: Less than 100 MiB are free."
    busy = alive(backlog_files=1, rows_pending=20, next_schedule="2026-12-01T03:00:00+00:00")
    assert next_steps.sentences(busy, [], now) == [
        "1 file in the inbox: read as soon as no program writes to it, oldest first.",
        "30 more new rows start a training (retrain.threshold_rows, retrain.growth).",
        "The schedule trains at 2026-12-01 03:00:00 UTC, if there are new rows.",
    ]
    assert next_steps.sentences(None, [], now) == [next_steps.STOPPED]
