"""`retraind events`: the numbers that `acknowledge` takes, by filters."""

import json

from commands import forked

from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.storage.journal import Journal


def test_events_have_their_numbers_and_say_who_has_seen_to_them(home: Home, journal: Journal) -> None:
    journal.events.record(EventKind.STARTED, "The daemon has started.")
    journal.events.record(EventKind.UNANSWERED, "heute.csv is not answered.", level=Level.WARNING)
    journal.events.record(EventKind.SUSPICIOUS, "nightly-a.csv is suspicious.", level=Level.WARNING, version=2)
    event = journal.acknowledgements.event(2)
    assert event is not None
    journal.acknowledgements.record([event], "ann")
    lines = forked("events", home=home).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"], "the newest is the last, as in a log"
    assert "(seen to by ann, 20" in lines[1]
    assert forked("events", "--open", home=home).stdout.split()[0] == "3"
    listed = json.loads(forked("events", "--level", "problems", "--json", home=home).stdout)
    assert [(row["id"], row["acknowledged_by"]) for row in listed] == [(2, "ann"), (3, None)]
    for arguments in (("--kind", "suspicious"), ("--version", "2"), ("--text", "nightly"), ("--limit", "1")):
        assert [line.split()[0] for line in forked("events", *arguments, home=home).stdout.splitlines()] == ["3"]
    assert forked("events", "--since", "2999-01-01", home=home).stdout == ""


def test_a_misspelt_filter_is_an_error_with_the_words(home: Home, journal: Journal) -> None:
    assert journal
    for arguments, words in (
        (("--kind", "suspicous"), "accepted, rejected"),
        (("--level", "loud"), "info, warning, error, problems"),
        (("--since", "monday"), "2026-03-01"),
        (("--drop", "none.csv"), "retraind drops"),
    ):
        done = forked("events", *arguments, home=home)
        assert done.returncode in (Exit.USAGE, Exit.NOT_FOUND)
        assert words in done.stderr
