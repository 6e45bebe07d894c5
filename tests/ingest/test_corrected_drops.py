"""retraind.daemon.ingest.corrected_drops: a corrected file ends the attention for the one that it replaces, and no other does."""

import interrupting
import pytest
from ingesting import HEADER, Parts, row
from interrupting import bad_rows

from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.records.records import Records
from retraind.daemon.records.search import acknowledged

parts = pytest.fixture(interrupting.parts)

RENAMED = HEADER.replace("petal_width", "width")


def rows(numbers: range) -> str:
    return "".join(map(row, numbers))


def is_open(parts: Parts, name: str) -> bool:
    """Whether the newest event of a rejected file, or of its rejected rows, still asks for attention."""
    kinds = (EventKind.REJECTED, EventKind.QUARANTINED)
    events = [event for event in Records(parts.home).events.newest(50) if event["kind"] in kinds]
    event = next(event for event in events if name in event["message"])
    return event["level"] != Level.INFO and event["id"] not in acknowledged.of_events(parts.home.journal, [event["id"]])


def healed(parts: Parts) -> list[str]:
    events = Records(parts.home).events.newest(50)
    return [event["message"] for event in events if event["kind"] == EventKind.HEALED]


@pytest.mark.engines(full=True)
def test_an_accepted_file_of_the_same_name_stands_in_the_place_of_a_rejected_one(parts: Parts) -> None:
    parts.drop("nightly.csv", RENAMED + rows(range(9)))
    parts.drop("other.csv", RENAMED + rows(range(20, 29)))
    parts.run()
    assert is_open(parts, "nightly.csv")
    parts.drop("nightly.csv", HEADER + rows(range(9)))
    parts.run()
    assert (is_open(parts, "nightly.csv"), is_open(parts, "other.csv")) == (False, True)
    [message] = healed(parts)
    assert message.startswith("nightly.csv was accepted and stands in the place of nightly.csv (of 2")
    drop = Records(parts.home).drops.find("nightly.csv")
    assert drop
    assert Records(parts.home).events.of_drop(drop["sha256"], 9)[0]["message"] == message
    parts.reopen()
    parts.drop("nightly.csv", RENAMED + rows(range(30, 39)))
    parts.run()
    assert is_open(parts, "nightly.csv"), "a new fault asks again"


def test_bad_rows_are_seen_to_by_their_corrected_rows_or_the_whole_file(parts: Parts) -> None:
    bad = "4;5,3.5,1.4,0.2,setosa\n"
    for name, numbers in (("a.csv", range(9)), ("b.csv", range(20, 29)), ("c.csv", range(40, 49))):
        parts.drop(name, HEADER + rows(numbers) + bad * 2)
        parts.run()
    remarked = bad_rows(parts, "a.csv").read_text().replace("4;5,3.5", "4.5,3.5")
    parts.drop("a.csv", remarked)
    parts.drop("b.csv", HEADER + rows(range(20, 29)) + "4.7,3.5,1.4,0.2,setosa\n")
    parts.drop("c.csv", HEADER + rows(range(60, 69)))
    parts.run()
    assert [is_open(parts, name) for name in ("a.csv", "b.csv", "c.csv")] == [False, False, True]
