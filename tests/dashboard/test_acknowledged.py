"""The banner after a person has seen to a past fault: it is quiet, until something new happens or if a fault still holds."""

import pytest
import stories
from stories import Story, alive

from retraind.daemon.attention.acknowledging import Acknowledging
from retraind.daemon.core import requests
from retraind.daemon.core.states import RunState
from retraind.daemon.core.status import Check, Status
from retraind.daemon.records.records import Records

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def acknowledge_all(story: Story) -> None:
    newest = Records(story.home).events.newest(1)[0]["id"]
    requests.ask(story.home, "acknowledge", until=newest, by="cli (ann)")
    Acknowledging(story.home, story.journal).answer()


def banner(story: Story, status: Status | None = None) -> tuple[str, dict[str, str]]:
    document = story.document(status or alive())
    return document["verdict"]["state"], {tile["id"]: tile["state"] for tile in document["tiles"]}


@pytest.mark.parametrize("count", [1, 4])
def test_acknowledged_rejections_do_not_colour_it_and_a_new_one_does(well: Story, count: int) -> None:
    for number in range(count):
        well.reject(f"bad-{number}.csv")
    assert banner(well)[0] == "watch"
    acknowledge_all(well)
    assert banner(well)[1]["flowing"] == "ok"
    well.reject("new.csv")
    assert banner(well) == ("watch", {**banner(well)[1], "flowing": "watch"})


def test_acknowledged_failure_of_a_training(well: Story) -> None:
    def fail() -> None:
        run = well.journal.runs.start("new rows", f"{1:040x}", "d" * 32, 50)
        well.journal.runs.end(run, RunState.FAILED, "No memory is left.")

    fail()
    assert banner(well)[1]["good"] == "watch"
    acknowledge_all(well)
    assert banner(well)[1]["good"] == "ok"
    fail()
    assert banner(well)[1]["good"] == "watch"


def test_acknowledged_roll_back(well: Story) -> None:
    well.judge(2, "promoted", old=1)
    well.journal.versions.roll_back(2, "worse on late labels")
    well.journal.swaps.record(1, 2, "rolled back")
    well.point(1, well.journal.versions.get(1)["bundle"])  # type: ignore[index]
    assert banner(well)[1]["serving"] == "watch"
    acknowledge_all(well)
    assert banner(well)[1]["serving"] == "ok"


def test_what_still_holds_stays_red(well: Story) -> None:
    """Whatever was acknowledged: a failing check, and a daemon that is gone, are no past events."""
    well.reject("bad.csv")
    acknowledge_all(well)
    full = alive(checks={"disk": Check(ok=False, detail="Full.")})
    assert banner(well, full)[0] == "act"
    assert banner(well, stories.a_dead_daemon(well))[0] == "act"
