"""retraind.web.dashboard.health: what the page shows as wrong or waiting. A real journal and pointer on disk."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import stories
from stories import HOSTILE, Story, a_dead_daemon, alive, states

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import durable
from retraind.daemon.core.node.messages import NodeReport, NodeState
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Promote, Settings
from retraind.daemon.core.states import RunState
from retraind.daemon.core.status import Check, Status
from retraind.daemon.records.query import ask
from retraind.daemon.records.records import Records
from retraind.web.auth.access import LOCAL
from retraind.web.dashboard import health
from retraind.web.dashboard.answers.questions import gather
from retraind.web.pages.overview import render

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def a_failing_check(_: Story) -> Status:
    return alive(checks={"disk": Check(ok=False, detail="Only 10 MB are left.")})


def a_starting_daemon(_: Story) -> Status:
    return alive(state="starting")


def a_lost_manifest(story: Story) -> Status:
    (story.home.bundle(1) / bundle.MANIFEST).unlink()
    return alive()


def a_changed_manifest(story: Story) -> Status:
    path = story.home.bundle(1) / bundle.MANIFEST
    path.write_bytes(path.read_bytes() + b"\n")
    return alive()


def a_broken_pointer(story: Story) -> Status:
    story.home.pointer.write_bytes(b"{}")
    return alive()


def an_unservable_version(story: Story) -> Status:
    story.judge(2, "held", old=1)
    story.journal.versions.mark_unservable(2, "its probe differs")
    return alive()


def a_version_that_was_rolled_back(story: Story) -> Status:
    story.judge(2, "refused", old=1)
    story.journal.versions.roll_back(2, "late labels tell against it")
    return alive()


def a_held_version(story: Story) -> Status:
    story.judge(2, "held", old=1)
    return alive()


def one_rejected_drop(story: Story) -> Status:
    story.reject("broken.csv")
    return alive()


def a_failed_training(story: Story) -> Status:
    run = story.journal.runs.start("50 new rows", f"{1:040x}", "d" * 32, 50)
    story.journal.runs.end(run, RunState.FAILED, "one class is empty")
    return alive()


def a_champion_that_got_worse(story: Story) -> Status:
    story.judge(2, "refused", wrong=20, old=15)
    return alive()


def three_refusals(story: Story) -> Status:
    for version in (2, 3, 4):
        story.judge(version, "refused", wrong=20, old=1)
    return alive()


@pytest.mark.parametrize(
    ("scene", "tile", "state", "overall", "said"),
    [
        (a_dead_daemon, 0, "act", "act", "not running"),
        (a_failing_check, 0, "act", "act", "Only 10 MB are left."),
        (a_starting_daemon, 0, "watch", "watch", "starting"),
        (a_lost_manifest, 1, "act", "act", "cannot be read"),
        (a_changed_manifest, 1, "act", "act", "not the manifest"),
        (a_broken_pointer, 1, "act", "act", "not a pointer"),
        (an_unservable_version, 1, "act", "act", "its probe differs"),
        (a_version_that_was_rolled_back, 1, "watch", "watch", "v2 was rolled back: late labels tell against it"),
        (a_held_version, 1, "watch", "watch", "retraind promote"),
        (one_rejected_drop, 2, "watch", "watch", "broken.csv was rejected"),
        (a_dead_daemon, 2, "act", "act", "The inbox is not watched"),
        (a_failed_training, 3, "watch", "watch", "one class is empty"),
        (a_champion_that_got_worse, 3, "watch", "watch", "promote.tolerance = 0.02"),
        (three_refusals, 3, "watch", "watch", "3 challengers were refused"),
    ],
)
def test_what_is_wrong_is_shown(
    well: Story, scene: Callable[[Story], Status], tile: int, state: str, overall: str, said: str
) -> None:
    page = well.document(scene(well))
    assert page["tiles"][tile]["state"] == state
    assert page["verdict"]["state"] == overall
    assert said in page["tiles"][tile]["headline"] + page["tiles"][tile]["sentence"]
    assert render(page)


def test_a_start_without_a_model_promises_no_predictions(story: Story) -> None:
    tile = story.document(alive(state="starting"))["tiles"][0]
    assert (tile["headline"], tile["sentence"]) == (
        "The daemon is starting",
        "No model is loaded yet, so /predict answers 503.",
    )


def test_a_daemon_that_never_reported_needs_you_once_there_is_data(well: Story) -> None:
    assert states(well.document(None))[:2] == ["act", "act"]


def test_drops_that_are_all_rejected(story: Story) -> None:
    for number in range(3):
        story.reject(f"{number}.csv")
    assert story.document(alive())["tiles"][2]["state"] == "act"


def test_drops_that_a_person_has_rejected_are_no_failures(well: Story) -> None:
    """They are decisions, and stand between others without a trace in the page's word."""
    for number in range(3):
        well.reject(f"{number}.csv", by="http")
    page = well.document(alive())
    assert (page["tiles"][2]["state"], page["verdict"]["state"]) == ("ok", "ok")
    assert {step["name"]: step["state"] for step in page["now"]["steps"]}["validate"] == "done"
    levels = ask(well.home.journal, "SELECT level FROM events WHERE kind = 'rejected'")
    assert [row["level"] for row in levels] == ["info"] * 3
    for number in range(3, 6):
        well.reject(f"{number}.csv")
    assert well.document(alive())["tiles"][2]["state"] == "watch"


def test_data_and_quality_alone_never_say_act(well: Story) -> None:
    for _ in range(3):
        a_failed_training(well)
    shown = well.document(alive())
    assert shown["tiles"][3]["state"] == "act"
    assert shown["verdict"]["state"] == "watch"


def test_no_data_for_long_is_worth_a_look(well: Story) -> None:
    facts = gather(well.home, Records(well.home), alive(), {}, None)
    late = replace(facts, now=facts.now + timedelta(days=9))
    assert health.flowing(late)["state"] == "watch"
    assert "9 days" in health.flowing(late)["sentence"]


def a_held_drop(story: Story, name: str) -> None:
    about: Any = {"bytes": 10, "rows_read": 60, "version": 1, "seen_at": None}
    held: Any = {"sha256": durable.sha256(name.encode()), "name": name, **about, "reason": "half is wrong"}
    story.journal.held.hold(held)


def test_a_drop_that_waits_for_a_person_is_worth_a_look(well: Story) -> None:
    a_held_drop(well, HOSTILE[0])
    tile = well.document(alive())["tiles"][2]
    assert (tile["state"], tile["headline"]) == ("watch", "1 drop waits for you")
    assert tile["sentence"] == f"{HOSTILE[0]} is held because half is wrong. Accept or reject it."
    a_held_drop(well, "b.csv")
    shown = well.document(alive())
    assert shown["tiles"][2]["headline"] == "2 drops wait for you"
    assert shown["verdict"]["state"] == "watch"
    page = render(shown)
    assert HOSTILE[0] not in page
    assert page.count('data-action="accept"') == page.count('data-action="reject"') == 2
    reader = replace(LOCAL, scopes=frozenset({Scope.READ, Scope.WRITE}))
    assert 'data-action="accept"' not in render(shown, reader)


def test_tolerance_comes_from_the_settings(well: Story) -> None:
    a_champion_that_got_worse(well)
    settings = Settings(promote=Promote(tolerance=0.5))
    assert well.document(alive(), settings=settings)["tiles"][3]["state"] == "ok"


def test_failing_requests_are_watched_and_refused_ones_are_not(well: Story) -> None:
    refused = well.document(alive(), {"request_count": 100, "errors": {"422": 50}})
    assert refused["tiles"][0]["state"] == "ok"
    failing = well.document(alive(), {"request_count": 100, "errors": {"500": 5, "422": 1}})
    assert failing["tiles"][0]["state"] == "watch"
    assert failing["service"]["failures"] == 5


def test_requests_before_the_first_model_are_no_failures(well: Story) -> None:
    """A client that polls a new home does not mark its page permanently."""
    polled = {"request_count": 100, "errors": {"503": 90}, "before_first_model": 90}
    page = well.document(alive(), polled)
    assert page["tiles"][0]["state"] == "ok"
    assert (page["service"]["failures"], page["service"]["before_first_model"]) == (0, 90)
    assert "before the first model" in render(page)
    failing = well.document(alive(), {**polled, "errors": {"503": 95}})
    assert failing["tiles"][0]["state"] == "watch"


def test_serving_nodes_are_listed_with_generation_and_age(well: Story) -> None:
    """Also those that are silent, first."""
    reports = {"one": 0.4, "two": 75.0, **{f"z{number}": 1.0 for number in range(20)}}
    nodes = tuple(
        NodeReport(name=name, generation=7, state=NodeState.SERVING, version=2, age=age)
        for name, age in reports.items()
    )
    page = well.document(alive(nodes=nodes))
    lines = [(line["label"], line["value"], line["note"]) for line in page["tiles"][0]["facts"]]
    assert lines[1:3] == [
        ("two", "generation 7, serving, version 2", "serving node, silent for 75 seconds"),
        ("one", "generation 7, serving, version 2", "serving node, reported 0 seconds ago"),
    ]
    assert ("serving nodes", "22 in all", "") in lines
    assert "silent for 75 seconds" in render(page)
