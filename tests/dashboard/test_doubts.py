"""The page is not green while data or model are in doubt, until a person has seen to it."""

from typing import Any

import pytest
import stories
from stories import Story, alive
from test_acknowledged import acknowledge_all, banner

from retraind.daemon.core.states import EventKind, Hold, Level
from retraind.daemon.records.records import Records

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def suspect(story: Story, name: str, held_by: str | None = None) -> int:
    """A suspicious drop that is accepted, by the rules or by a person; returns its batch."""
    drop = story.drop(name)
    exam = {"drop": drop["sha256"], "name": name, "version": 1, "n": 99, "error": 0.68, "usual": 0.04, "mix": 0.1}
    reason = "68% of its labels disagree with v1, usually 4%"
    if held_by:
        held: Any = {"sha256": drop["sha256"], "name": name, "bytes": 10, "rows_read": 50, "rows_known": 0}
        held |= {"version": 1, "reason": reason, "seen_at": None}
        story.journal.held.hold(held)
        story.journal.held.decide(drop["sha256"], Hold.LET_IN, held_by)
    with story.journal.together():
        batch = story.accept(name)
        record: Any = {**exam, "shifts": "{}", "suspicious": 1, "reason": reason}
        story.journal.exams.record([record], batch)
    return batch


def test_suspicious_rows_that_were_accepted_colour_data_and_model(well: Story) -> None:
    """Until a person has looked: the event alone would leave everything green."""
    batch = suspect(well, "nightly-a.csv")
    state, tiles = banner(well)
    assert (state, tiles["flowing"], tiles["serving"]) == ("watch", "watch", "ok"), "v1 was trained before"
    well.judge(2, "promoted", batch=batch)
    page = well.document(alive())
    tile = {tile["id"]: tile for tile in page["tiles"]}
    assert tile["serving"]["state"] == "watch"
    assert "v2 was trained on suspicious rows: nightly-a.csv" in tile["serving"]["sentence"]
    assert "68% of its labels disagree" in tile["flowing"]["sentence"]
    assert "retraind forget 2" in tile["flowing"]["sentence"]
    acknowledge_all(well)
    assert banner(well)[0] == "ok"


def test_a_suspicious_drop_that_a_person_accepted_asks_for_nothing(well: Story) -> None:
    suspect(well, "odd.csv", held_by="cli")
    assert banner(well)[0] == "ok"
    newest = Records(well.home).events.newest(1)[0]
    assert (newest["kind"], newest["level"]) == (EventKind.SUSPICIOUS, Level.INFO)
    assert newest["message"].endswith("It was accepted by request (cli).")
    assert Records(well.home).drops.newest(1)[0]["decided_by"] == "cli"


def test_a_version_that_was_trained_on_forgotten_rows_is_not_well(well: Story) -> None:
    """As after a rollback to it, or before the training that follows the forgetting."""
    batch = suspect(well, "nightly-a.csv")
    well.judge(2, "promoted", batch=batch)
    drop = Records(well.home).drops.newest(1)[0]
    gone = well.journal.erasures.forget(drop, f"{batch - 1}.parquet", 50, None, "cli")
    well.journal.batches.commit(gone, f"{gone:040x}", "d" * 32)
    _, tiles = banner(well)
    assert (tiles["flowing"], tiles["serving"]) == ("ok", "watch")
    sentence = next(tile["sentence"] for tile in well.document(alive())["tiles"] if tile["id"] == "serving")
    assert "v2 was trained on rows that have been forgotten since: nightly-a.csv" in sentence
    kept = [row["message"] for row in Records(well.home).events.newest(9) if row["kind"] == EventKind.SUSPICIOUS]
    assert "68% of its labels disagree" in kept[0], "the evidence stays for the post-mortem"
    well.judge(3, "promoted", batch=gone)
    assert banner(well)[1]["serving"] == "ok"


def test_a_large_fall_from_the_version_before_is_shown(well: Story) -> None:
    """Each was judged on other rows, so the gate saw none: 59 of 60 before, 48 of 60 now."""
    well.judge(2, "promoted", wrong=12, old=13)
    tile = well.document(alive())["tiles"][3]
    assert tile["state"] == "watch"
    assert "v1 had 0.983 when it was promoted (n = 60), v2 had 0.800 (n = 60): 18 points less" in tile["sentence"]
    well.judge(3, "promoted", wrong=3, old=12)
    assert well.document(alive())["tiles"][3]["state"] == "ok"


def test_a_fall_within_the_noise_of_few_rows_is_none(story: Story) -> None:
    """54 of 60 and 16 of 20: ten points, and the same within the noise."""
    story.accept("iris.csv")
    story.judge(1, "promoted", wrong=6)
    story.judge(2, "promoted", wrong=4, old=4, n=20)
    assert story.document(alive())["tiles"][3]["state"] == "ok"


def test_a_fall_of_seven_points_is_shown_if_chance_does_not_explain_it(story: Story) -> None:
    """0.877 and 0.803: clear on 600 rows each, perhaps chance on 120; both figures are said in any case."""
    story.accept("iris.csv")
    story.judge(1, "promoted", wrong=15, n=120)
    story.judge(2, "promoted", wrong=24, old=24, n=120)
    tile = story.document(alive())["tiles"][3]
    before = next(fact for fact in tile["facts"] if fact["label"] == "before, v1")
    assert (tile["state"], before["value"], before["note"]) == ("ok", "0.875", "n = 120, at its promotion")
    story.judge(3, "promoted", wrong=74, n=600)
    story.judge(4, "promoted", wrong=118, old=118, n=600)
    tile = story.document(alive())["tiles"][3]
    fall = "v3 had 0.877 when it was promoted (n = 600), v4 had 0.803 (n = 600): 7 points less, at least 3.9 of them"
    assert (tile["state"], tile["sentence"][: len(fall)]) == ("watch", fall)


def test_a_file_that_was_not_answered_is_shown(well: Story) -> None:
    message = "heute.csv is not answered and is in inbox/rejected: The file is not UTF-8 text."
    well.journal.events.record(EventKind.UNANSWERED, message, level=Level.WARNING)
    tile = well.document(alive())["tiles"][2]
    assert (tile["state"], tile["headline"], tile["sentence"]) == ("watch", "1 file not answered", message)
    acknowledge_all(well)
    assert banner(well)[0] == "ok"


def test_acknowledging_changes_no_count(well: Story) -> None:
    def rejected() -> str:
        facts = well.document(alive())["tiles"][2]["facts"]
        return next(fact["value"] for fact in facts if fact["label"] == "rejected")

    well.reject("nightly-c.csv")
    assert rejected() == "1 of 2 drops"
    acknowledge_all(well)
    assert rejected() == "1 of 2 drops"


def test_files_that_wait_without_a_daemon_are_counted(well: Story) -> None:
    """The last status of the daemon that is gone does not know them."""
    (well.home.inbox / "late.csv").write_text("a,b\n1,2\n")
    (well.home.inbox / ".hidden").write_text("")
    page = well.document(stories.a_dead_daemon(well))
    fact = next(fact for fact in page["tiles"][2]["facts"] if fact["label"] == "inbox")
    assert fact["value"] == "1 file, 8 B"
    assert page["now"]["steps"][0]["detail"] == "1 file, 8 B: not read"
