"""retraind.daemon.storage.journal with a real SQLite file."""

import itertools
import os
import signal
import sqlite3
from contextlib import closing
from functools import partial
from typing import Any

import forks
import pytest
from journal_entries import a_batch, a_drop, a_version, events

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState, RequestState, RunState, VersionState
from retraind.daemon.records import lineage
from retraind.daemon.storage.journal import Journal

pytestmark = pytest.mark.engines


def test_batch_goes_from_accepted_to_committed(home: Home, journal: Journal) -> None:
    """The oldest uncommitted batch comes first; a committed one carries its revision."""
    assert journal.batches.uncommitted() is None
    assert journal.batches.accept(a_batch(1), [a_drop()]) == 1
    assert journal.batches.accept(a_batch(2), [a_drop("b.csv", "b" * 64), a_drop("c.csv", "c" * 64)]) == 2
    first = journal.batches.uncommitted()
    assert first is not None
    assert first["seq"] == 1
    journal.batches.commit(1, "r" * 40, "d" * 32)
    second = journal.batches.uncommitted()
    assert second is not None
    assert second["seq"] == 2
    assert [batch["state"] for batch in journal.batches.all()] == ["committed", "accepted"]
    assert [drop["name"] for drop in journal.drops.of_batch(2)] == ["b.csv", "c.csv"]
    assert journal.drops.batches_of(letter * 64 for letter in "abx") == {"a" * 64: 1, "b" * 64: 2}
    assert events(home) == [("accepted", "info"), ("accepted", "info"), ("committed", "info")]


def test_refused_drops_are_known_but_hold_no_rows(home: Home, journal: Journal) -> None:
    """The bytes of a rejected drop may come again after the schema was corrected, and then count."""
    journal.drops.refuse(a_drop(reason="bad", line=3, column="x"), DropState.REJECTED, "a.csv: bad")
    assert journal.drops.batches_of(["a" * 64]) == {}
    journal.batches.accept(a_batch(), [a_drop()])
    journal.drops.refuse(a_drop("copy.csv"), DropState.DUPLICATE, "copy.csv is a duplicate", batch=1)
    assert [drop["name"] for drop in journal.drops.of_batch(1)] == ["a.csv"]
    assert events(home) == [("rejected", "warning"), ("accepted", "info"), ("duplicate", "info")]


def test_run_is_open_until_it_has_ended(home: Home, journal: Journal) -> None:
    """A run is on record before it starts; the last one can be asked for by its state."""
    assert journal.runs.last() is None
    run = journal.runs.start("first model", "r" * 40, "d" * 32, 5)
    assert [open_run["id"] for open_run in journal.runs.open()] == [run]
    journal.runs.end(run, RunState.TRAINED, "version 1", version=1, seconds=1.5)
    again = journal.runs.start("more", "r" * 40, "d" * 32, 6)
    journal.runs.end(again, RunState.FAILED, "no luck")
    assert journal.runs.open() == []
    runs = [journal.runs.last(), journal.runs.last(RunState.TRAINED), journal.runs.last(RunState.ABANDONED)]
    assert [one and one["id"] for one in runs] == [again, run, None]
    runs = [journal.runs.last(because=["first", "drift"]), journal.runs.last(because=["drift"])]
    assert [one and one["id"] for one in runs] == [run, None]
    assert events(home)[-1] == ("failed", "error")


def test_later_verdict_replaces_the_earlier(journal: Journal) -> None:
    """A version that was held and then promoted by a person is promoted, once."""
    journal.versions.judge(a_version(1), VersionState.HELD, "good")
    journal.versions.judge(a_version(2), VersionState.REFUSED, "bad")
    journal.versions.judge(a_version(1), VersionState.PROMOTED, "by request")
    assert [(row["version"], row["state"]) for row in journal.versions.newest()] == [(2, "refused"), (1, "promoted")]
    journal.versions.mark_unservable(1, "the bundle is gone")
    version_row = journal.versions.get(1)
    assert version_row is not None
    assert (version_row["state"], version_row["reason"]) == ("unservable", "the bundle is gone")
    assert journal.versions.get(3) is None


def test_promoted_versions_are_found_from_a_chosen_one_on(journal: Journal, home: Home) -> None:
    """What was promoted after a number, and one below it that a person chose; rolled-back ones don't count."""
    for version in range(1, 7):
        journal.versions.judge(
            a_version(version), VersionState.REFUSED if version == 4 else VersionState.PROMOTED, "good"
        )
    journal.versions.roll_back(6, "late labels tell against it")
    assert events(home)[-1] == ("rolled back", "warning")

    def found(*limits: int) -> list[int]:
        return [row["version"] for row in journal.versions.promoted(*limits)]

    assert found(10) == [5, 3, 2, 1]
    assert found(2) == [5, 3]
    assert found(10, 1, 3) == [5, 1]
    assert [row["version"] for row in journal.versions.newest(2)] == [6, 5]


def test_last_swap_is_what_is_served(journal: Journal) -> None:
    """Swaps are remembered in order."""
    assert journal.swaps.last() is None
    journal.swaps.record(1, None, "first")
    journal.swaps.record(2, 1, "better")
    last = journal.swaps.last()
    assert last is not None
    assert (last["version"], last["previous"]) == (2, 1)


def test_request_is_taken_once(journal: Journal) -> None:
    """Taking a request over again, after a crash, changes neither its state nor its answer."""
    journal.requests.take("q" * 16, "retrain", "forced", "2026-01-01T00:00:02Z")
    journal.requests.take("p" * 16, "retrain", "forced", "2026-01-01T00:00:01Z")
    assert [request["id"][0] for request in journal.requests.queued()] == ["p", "q"]
    journal.requests.end("q" * 16, RequestState.DONE, "started")
    journal.requests.take("q" * 16, "retrain", "forced", "2026-01-01T00:00:02Z")
    assert [request["id"][0] for request in journal.requests.queued()] == ["p"]


def test_remembered_values_are_json(journal: Journal) -> None:
    """The newest value of a key counts."""
    assert journal.key_values.get("k") is None
    journal.key_values.put("k", {"a": [1, None]})
    journal.key_values.put("k", [2])
    assert journal.key_values.get("k") == [2]


def test_failed_transition_leaves_no_trace(home: Home, journal: Journal) -> None:
    """Facts and event are one transaction: what can't be recorded is not told either, and the journal goes on."""
    with pytest.raises(Exception, match=r"(?i)not.null"):
        journal.batches.accept(a_batch(), [a_drop(name=None)])  # type: ignore[arg-type]
    assert list(journal.batches.all()) == []
    assert events(home) == []
    assert journal.batches.accept(a_batch(), [a_drop()]) == 1


def accept_batches(home: Home, saying: int) -> None:
    """Record one batch after the other, and say the number of each."""
    journal = Journal.open(home.journal)
    for number in itertools.count(len(journal.batches.all()) + 1):
        os.write(saying, b"%d\n" % journal.batches.accept(a_batch(number), [a_drop(sha256=str(number))]))


def test_journal_survives_a_kill_between_any_two_writes(home: Home) -> None:
    """What a killed process had recorded is there; every batch has its drop and its event."""
    for _ in range(3):
        listening, saying = os.pipe()
        writer = forks.start(partial(accept_batches, home, saying))
        os.close(saying)
        with os.fdopen(listening) as lines:
            numbers = [int(line) for line in itertools.islice(lines, 20)]
            os.kill(writer, signal.SIGKILL)
            assert forks.end(writer) == -signal.SIGKILL
            said = [*numbers, *map(int, lines)][-1]
        with closing(Journal.open(home.journal)) as journal:
            count = len(journal.batches.all())
            assert said <= count <= said + 1
            assert [batch["seq"] for batch in journal.batches.all()] == list(range(1, count + 1))
            assert all(len(journal.drops.of_batch(seq)) == 1 for seq in range(1, count + 1))
        assert len(events(home)) == count


def test_reader_sees_what_the_writer_has_recorded(home: Home, journal: Journal) -> None:
    """The command line reads beside the daemon, and can't write."""
    journal.versions.judge(a_version(1), VersionState.PROMOTED, "first")
    with Journal.reading(home.journal) as reader:
        assert len(reader.versions.newest()) == 1
        journal.versions.judge(a_version(2), VersionState.REFUSED, "bad")
        assert len(reader.versions.newest()) == 2
    with pytest.raises(RetraindError, match=r"read.?only"), Journal.reading(home.journal) as reader:
        reader.key_values.put("k", 1)


def test_merge_replaces_segments_and_adds_no_rows(journal: Journal) -> None:
    """The merged segment takes the place of its sources in the order of batches; totals stay."""
    for number in (1, 2, 3):
        journal.batches.commit(
            journal.batches.accept(a_batch(number), [a_drop(sha256=str(number))]), "r" * 40, "d" * 32
        )
    seq = journal.batches.merge(a_batch(9, rows=10), ["1.parquet", "2.parquet"])
    assert [one["name"] for one in journal.segments.current()] == ["9.parquet", "3.parquet"]
    merged = journal.segments.current()[0]
    assert (merged["tier"], merged["first"], merged["last"], merged["born"]) == (1, 1, 2, seq)
    assert journal.segments.replaced(["1.parquet", "3.parquet", "x"]) == {"1.parquet"}
    journal.batches.commit(seq, "m" * 40, "e" * 32)
    assert journal.batches.committed() == (15, "e" * 32, "m" * 40, 3)
    newest = journal.batches.newest()
    assert newest is not None
    assert newest["seq"] == 3


def test_many_records_wait_for_the_disk_once(home: Home, journal: Journal) -> None:
    """What is recorded together is there together, or not at all."""
    with journal.together():
        for number in range(700):
            journal.drops.refuse(a_drop(sha256=str(number)), DropState.REJECTED, "no")
    assert len(events(home)) == 700

    def fail() -> None:
        with journal.together():
            journal.drops.refuse(a_drop(), DropState.REJECTED, "no")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(events(home)) == 700


def test_labels_are_known_with_their_batch(journal: Journal) -> None:
    """A label is on record with the batch that its row went to; a prediction has one truth."""
    label: Any = {"prediction_id": "p1", "version": 2, "prediction": "a", "truth": "b", "drop": "a" * 64}
    journal.batches.accept(a_batch(), [a_drop(source="label")], [label])
    assert journal.labels.truths(["p1", "p2"]) == {"p1": "b"}


@pytest.mark.engines(server=False)
def test_batches_of_a_revision_are_found_by_an_index(home: Home, journal: Journal) -> None:
    """Also in a journal from before there was one, which stays of the same format."""
    journal.close()
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.execute("DROP INDEX batches_of_revision")
    Journal.open(home.journal).close()
    with closing(sqlite3.connect(home.journal)) as connection:
        for query in (f"{lineage.REACH} SELECT * FROM reach", "SELECT MAX(seq) FROM batches WHERE revision = 'x'"):
            plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
            assert "batches_of_revision" in plan, plan


def test_only_rows_that_a_training_was_given_call_for_another_when_they_are_forgotten(journal: Journal) -> None:
    """No version was trained on a drop that came after one training's revision and went before the next one's."""
    for number in (1, 2):
        journal.batches.accept(a_batch(number), [a_drop(f"{number}.csv", sha256=str(number))])
    assert not journal.erasures.any_after(1)
    drop = journal.drops.taken("2")
    assert drop is not None
    journal.erasures.forget(drop, "2.parquet", 5, None, "cli")
    assert not journal.erasures.any_after(1)
    assert journal.erasures.any_after(2)
    assert not journal.erasures.any_after(3)
