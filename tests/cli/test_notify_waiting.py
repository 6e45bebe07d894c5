"""`retraind notify` lists the events that wait for the end of a quiet time, or to be grouped."""

import json
from contextlib import closing

import pytest
from commands import forked

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.storage.journal import Journal


@pytest.mark.parametrize(
    ("quiet", "why"),
    [('["00:00-24:00"]', "It waits for the end of a quiet time"), ("[]", "It is grouped with others")],
)
def test_events_that_wait_are_listed(home: Home, quiet: str, why: str) -> None:
    home.settings.write_text(f'[notify]\ncommand = ["/bin/true"]\nquiet = {quiet}\nurgent = ["failed"]\n')
    with closing(Journal.open(home.journal)) as journal:
        journal.events.record(EventKind.REJECTED, "old.csv was rejected.", level=Level.WARNING)
        journal.notices.set_cursors({"rejected": journal.events.newest_id(), "failed": 0})
        for name in ("a.csv", "b.csv"):
            journal.events.record(EventKind.REJECTED, f"{name} was rejected.", level=Level.WARNING)
        journal.events.record(EventKind.FAILED, "No memory is left.", level=Level.ERROR)
    rows = {row["kind"]: row for row in json.loads(forked("notify", "--json", home=home).stdout)}
    assert {kind: (row["count"], row["state"], row["target"]) for kind, row in rows.items()} == {
        "rejected": (2, "waiting", ""),
        "failed": (1, "waiting", ""),
    }
    assert rows["rejected"]["detail"].startswith(why)
    assert rows["failed"]["detail"].startswith("It is grouped"), "urgent kinds know no quiet times"
    text = forked("notify", home=home).stdout
    assert f"2 events of the kind rejected: {why}" in text
    home.settings.write_text("")
    assert json.loads(forked("notify", "--json", home=home).stdout) == []
