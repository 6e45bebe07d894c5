"""retraind.daemon.trends: what is taken from the journal, the status and the process table, and what leaves a mark."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stories
from sites import Client
from stories import Story, alive

from retraind.daemon.core import status
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import utcnow
from retraind.daemon.core.trends.figures import Figures
from retraind.daemon.core.trends.spans import Span
from retraind.daemon.records.trends import reader
from retraind.daemon.records.trends.reader import MarkRow
from retraind.daemon.trends import deployments, memory
from retraind.daemon.trends.gatherer import Gatherer

story = pytest.fixture(stories.story)


def day(home: Home) -> Figures:
    [(_, row)] = reader.figures(home.trends, Span.DAY, 0, 2**40)
    return row


def marks(home: Home) -> list[MarkRow]:
    return reader.marks(home.trends, "2000", "2999", 100)


@pytest.fixture
def gatherer(story: Story) -> Gatherer:
    gatherer = Gatherer(story.home, Settings())
    gatherer.lead()
    return gatherer


def test_drops_and_their_rows_are_counted_once(story: Story, gatherer: Gatherer) -> None:
    story.accept("one.csv")
    story.reject("bad.csv")
    gatherer.gather()
    gatherer.gather()
    sums = day(story.home)["sums"]
    assert (sums["drops.accepted"], sums["drops.rejected"], sums["rows_accepted"]) == (1, 1, 50)


def test_a_mark_for_a_rejected_drop_quotes_nothing(story: Story, gatherer: Gatherer) -> None:
    """The reason quotes cells, which a purge removes from the journal."""
    story.reject("secret.csv")
    gatherer.gather()
    [mark] = [mark for mark in marks(story.home) if mark["kind"] == "rejected"]
    assert mark["message"] == "A drop was rejected."
    assert mark["drop"]


def test_an_incident_is_marked_without_quotes(story: Story, gatherer: Gatherer) -> None:
    """A suspicious drop, forgotten rows, drift, and a start after a kill; an ordinary start is no mark."""
    record = story.journal.events.record
    record(EventKind.STARTED, "The daemon has started (pid 7).")
    record(EventKind.STARTED, "The daemon has started (pid 8) after an unclean end.", level=Level.WARNING)
    record(EventKind.SUSPICIOUS, "a.csv is suspicious: 90% are 'secret'.", level=Level.WARNING, drop="ab" * 32)
    record(EventKind.FORGOTTEN, "Batch 2: 50 rows of a.csv forgotten (cli).", level=Level.WARNING, drop="ab" * 32)
    gatherer.gather()
    incident = {(mark["kind"], mark["message"], mark["drop"]) for mark in marks(story.home)}
    assert {mark for mark in incident if mark[0] in ("started", "suspicious", "forgotten")} == {
        ("started", "The daemon has started (pid 8) after an unclean end.", None),
        ("suspicious", "A drop is suspicious.", "ab" * 32),
        ("forgotten", "Batch 2: 50 rows of a.csv forgotten (cli).", "ab" * 32),
    }


def test_many_rejected_drops_have_one_mark(story: Story, gatherer: Gatherer) -> None:
    for number in range(40):
        story.reject(f"{number}.csv")
    gatherer.gather()
    assert [mark["message"] for mark in marks(story.home) if mark["kind"] == "rejected"] == [
        "40 drops were rejected within seconds; this is the last."
    ]


def test_sizes_are_those_of_a_living_daemon_only(story: Story, gatherer: Gatherer) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    status.publish(story.home.status, alive().model_copy(update={"pid": dead.pid, "rows": 99}))
    gatherer.gather()
    assert "rows" not in day(story.home)["gauges"]
    status.publish(
        story.home.status, alive().model_copy(update={"pid": os.getpid(), "heartbeat": time.monotonic(), "rows": 7})
    )
    gatherer.gather()
    assert day(story.home)["gauges"]["rows"]["last"] == 7


def test_another_release_and_other_settings_are_marks_without_values() -> None:
    before = deployments.present(Settings())
    changed = Settings.model_validate({"server": {"port": 5051}, "retrain": {"threshold_rows": 77}})
    now = deployments.present(changed)._replace(release="9.9")
    made = deployments.marks(before._asdict(), now, utcnow())
    assert [mark.kind for mark in made] == ["deployed", "settings"]
    assert made[1].message == "Started with other settings: retrain.threshold_rows, server.port."
    assert "5051" not in str(now)
    assert deployments.marks(None, now, utcnow()) == []
    assert deployments.marks(now._asdict(), now, utcnow()) == []


def test_memory_is_measured_by_role() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; x = bytearray(40_000_000); time.sleep(60)"])
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        deadline = time.monotonic() + 30
        while memory.by_role([other.pid]).get("trainer", 0) < 40_000_000:
            assert time.monotonic() < deadline
        sizes = memory.by_role([other.pid])
        assert set(sizes) == {"daemon", "workers", "trainer"}
        assert sizes["workers"] < 40_000_000
    finally:
        for process in (child, other):
            process.kill()
            process.wait()


def test_until_it_leads_it_knows_its_own_workers_only(story: Story) -> None:
    """As on a serving node and a standby."""
    story.accept("one.csv")
    status.publish(story.home.status, alive().model_copy(update={"pid": os.getpid(), "heartbeat": time.monotonic()}))
    worker, following = Client(story.home).worker, Gatherer(story.home, Settings())
    for _ in range(2):
        worker.counters.count("/predict", 200, 0.001, predicts=True)
        worker.publish()
        following.gather()
    row = day(story.home)
    assert "drops.accepted" not in row["sums"]
    assert "rows" not in row["gauges"]
    assert row["sums"]["predicting.200"] == 1
    assert {"workers", "memory.daemon"} <= row["gauges"].keys()


def test_a_failing_source_stops_no_other(story: Story, gatherer: Gatherer, tmp_path: Path) -> None:
    story.home.journal.write_bytes(b"damaged" * 1000)
    (story.home.workers / "0-1.json").write_bytes(b"{")
    gatherer.gather()
    assert "memory.daemon" in day(story.home)["gauges"]
