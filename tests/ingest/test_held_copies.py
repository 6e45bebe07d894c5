"""Held drops whose files are renamed, copied, removed or replaced."""

import os

import holding
import pytest
from holding import ODD, REASON, ask_for, held, messages, sha256
from ingesting import Parts
from test_exam_runner import flowers, serve

from retraind.daemon.core.settings.leader import Leader

pytestmark = pytest.mark.engines(full=True)

parts = pytest.fixture(holding.parts)


def test_the_same_bytes_under_two_names_are_one_decision(parts: Parts) -> None:
    parts.drop("a.csv", ODD)
    parts.drop("b.csv", ODD)
    parts.run()
    assert (held(parts), parts.waiting) == ([("a.csv", REASON)], ["a.csv", "b.csv"])
    (parts.home.inbox / "a.csv").unlink()
    parts.run()
    assert held(parts) == [("b.csv", REASON)]
    parts.drop("c.csv", ODD)
    parts.run()
    assert ask_for(parts, "accept", sha256(parts, "b.csv"))[0] == "done"
    assert sorted(state for _, state in parts.drops()) == ["accepted", "duplicate"]
    assert (len(parts.lengths), parts.waiting) == (60, [])


@pytest.mark.engines(server=False)  # a second writer records what serves
@pytest.mark.parametrize("served", [1, 2])
def test_another_name_or_time_is_no_decision(parts: Parts, served: int) -> None:
    """Nor is another version that serves by then: who is asked is the person."""
    parts.drop("a.csv", ODD)
    parts.run()
    if served > 1:
        serve(parts.home, served)
    (parts.home.inbox / "a.csv").rename(parts.home.inbox / "b.csv")
    os.utime(parts.home.inbox / "b.csv", (1, 1))
    parts.run()
    assert held(parts) == [("b.csv", REASON)]
    assert len(messages(parts, "suspicious")) == 1
    assert parts.lengths == []


def test_copies_of_one_that_is_turned_away_go_with_it(parts: Parts) -> None:
    parts.drop("a.csv", ODD)
    parts.drop("b.csv", ODD)
    parts.run()
    assert ask_for(parts, "reject", sha256(parts, "a.csv"))[0] == "done"
    assert sorted(parts.drops()) == [("a.csv", "rejected"), ("b.csv", "rejected")]
    assert (parts.waiting, parts.journal.held.all()) == ([], [])


def test_one_that_is_removed_waits_no_more(parts: Parts) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    drop = sha256(parts, "odd.csv")
    (parts.home.inbox / "odd.csv").unlink()
    parts.run()
    assert held(parts) == []
    assert messages(parts, "suspicious")[-1] == (
        "odd.csv waited to be accepted and is no longer in the inbox. None of its rows was accepted."
    )
    state, detail = ask_for(parts, "accept", drop)
    assert (state, detail) == ("refused", f"No drop {drop} waits; `retraind drops` lists those that do.")


def test_one_that_was_removed_while_the_service_was_down_waits_no_more(parts: Parts) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    (parts.home.inbox / "odd.csv").unlink()
    parts.reopen()
    parts.run()
    assert held(parts) == []


def test_one_in_the_inbox_of_another_leader_waits_on(parts: Parts) -> None:
    """A standby that leads by now has not got the file: that is no sign that a person removed it."""
    parts.drop("odd.csv", ODD)
    parts.run()
    file = parts.home.inbox / "odd.csv"
    kept = file.rename(parts.home.root / "odd.csv")
    parts.settings = parts.settings.model_copy(update={"leader": Leader(standby=True)})
    parts.reopen()
    parts.run()
    assert held(parts) == [("odd.csv", REASON)]
    kept.rename(file)
    parts.run()
    assert parts.waiting == ["odd.csv"]
    file.unlink()
    parts.run()
    assert held(parts) == [], "here it was seen"


def test_a_file_that_replaces_it_is_another_drop(parts: Parts) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    before = sha256(parts, "odd.csv")
    parts.drop("odd.csv", flowers(80, "virginica", begin=200))
    parts.run()
    assert held(parts)[0][0] == "odd.csv"
    assert sha256(parts, "odd.csv") != before
    parts.drop("odd.csv", flowers(40, "setosa", begin=300))
    parts.run()
    assert (held(parts), parts.drops()) == ([], [("odd.csv", "accepted")])
