"""daemon.storage.journal with a real SQLite file."""

import itertools
import os
import signal
import sqlite3
import stat
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import forks
import pytest
from sqlalchemy import text

from daemon.core.errors import RetraindError
from daemon.core.home import Home
from daemon.core.states import DropState, EventKind, RequestState, RunState, VersionState
from daemon.core.status import utcnow
from daemon.records import drops, lineage
from daemon.storage.journal import Journal
from daemon.storage.journal_tables import FORMAT


def a_drop(name: str = "a.csv", sha256: str = "a" * 64, **more: Any) -> Any:
    now = "2026-01-01T00:00:00.000Z"
    return {"sha256": sha256, "name": name, "source": "file", "bytes": 1, "settled_at": now, **more}


def a_batch(number: int = 1, rows: int = 5) -> Any:
    facts = {"segment": f"{number}.parquet", "sha256": f"{number:064}", "md5": f"{number:032}"}
    return {**facts, "rows": rows, "bytes": 100 * rows}


def a_version(version: int) -> Any:
    texts = ("mlflow_run", "bundle", "candidate", "backend", "revision", "dvc_md5", "trigger")
    return {**dict.fromkeys(texts, "x"), "scores": "{}", "version": version, "rows": 5, "trained_rows": 4}


def events(home: Home) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(home.journal)) as connection:
        return connection.execute("SELECT kind, level FROM events ORDER BY id").fetchall()


def newest_event(home: Home) -> int:
    with closing(sqlite3.connect(home.journal)) as connection:
        return int(connection.execute("SELECT MAX(id) FROM events").fetchone()[0])


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
    with pytest.raises(Exception, match="NOT NULL"):
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
    with pytest.raises(RetraindError, match="readonly"), Journal.reading(home.journal) as reader:
        reader.key_values.put("k", 1)


@pytest.mark.parametrize("name", ["a b", "50%20 #1?x=y", "ü", "'; DROP"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    """A home may be called what it likes; the journal is where it should be, and only its owner reads it."""
    folder = tmp_path / name
    folder.mkdir()
    with closing(Journal.open(folder / "journal.db")) as journal:
        journal.key_values.put("k", name)
        with Journal.reading(folder / "journal.db") as reader:
            assert reader.key_values.get("k") == name
    assert [path.name for path in folder.iterdir()] == ["journal.db"]
    assert stat.S_IMODE((folder / "journal.db").stat().st_mode) == 0o600


def test_damaged_journal_is_a_sentence(home: Home) -> None:
    """Neither writer nor reader gives a traceback, and both say what to do."""
    home.journal.write_bytes(b"no database at all" * 500)
    with pytest.raises(RetraindError, match=r"journal\.db can't be used.*backup"):
        Journal.open(home.journal)
    with (
        pytest.raises(RetraindError, match=r"journal\.db can't be used.*backup"),
        Journal.reading(home.journal) as journal,
    ):
        journal.versions.newest()


def test_hole_in_the_journal_is_found_at_start(home: Home) -> None:
    """Pages that were overwritten are noticed before anything is written after them."""
    with closing(Journal.open(home.journal)) as journal:
        for number in range(200):
            journal.key_values.put(str(number), "x" * 500)
    data = bytearray(home.journal.read_bytes())
    data[4096 * 3 : 4096 * 9] = b"\xff" * 4096 * 6
    home.journal.write_bytes(data)
    with pytest.raises(RetraindError, match="can't be used"):
        Journal.open(home.journal)


def test_journal_of_a_newer_program_is_left_alone(home: Home) -> None:
    """An older retraind does not touch what it does not know."""
    Journal.open(home.journal).close()
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(RetraindError, match=f"has format {FORMAT + 1}.*Install the newer version"):
        Journal.open(home.journal)


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


def test_journal_of_the_first_format_is_migrated_with_a_copy(home: Home) -> None:
    """Every fact stays; what is new follows from the old; the copy is what the earlier release can still open."""
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.executescript((Path(__file__).parents[1] / "journal-format-1.sql").read_text())
    with pytest.raises(RetraindError, match="`retraind run` migrates it"), Journal.reading(home.journal):
        pass
    with closing(Journal.open(home.journal)) as journal:
        assert [one["name"] for one in journal.segments.current()] == ["1.parquet", "2.parquet"]
        assert [batch["total_rows"] for batch in journal.batches.all()] == [5, 12]
        assert journal.batches.committed() == (12, "2" * 32, "2" * 40, 2)
        run = journal.runs.last()
        assert run is not None
        assert run["batch"] == 2
        assert journal.drops.of_batch(1)[0]["rows_duplicate"] == 0
    with closing(sqlite3.connect(f"{home.journal}.format-1")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT COUNT(*) FROM drops").fetchone() == (2,)


def test_journal_of_the_third_format_goes_on_and_holds_drops(home: Home, journal: Journal) -> None:
    """The format before drops were held: whoever asks meanwhile sees none, and an older program must not take those that wait."""
    journal.batches.commit(journal.batches.accept(a_batch(), [a_drop()]), "r" * 40, "d" * 32)
    journal.close()
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.executescript("DROP TABLE held; PRAGMA user_version = 3")
    assert drops.held(home.journal, 9) == []
    with closing(Journal.open(home.journal)) as migrated:
        assert migrated.batches.committed() == (5, "d" * 32, "r" * 40, 1)
        odd: Any = {"name": "odd.csv", "reason": "half of it is wrong", "version": 1, "seen_at": None}
        migrated.held.hold(odd | {"sha256": "b" * 64, "bytes": 1, "rows_read": 9})
    assert [row["name"] for row in drops.held(home.journal, 9)] == ["odd.csv"]
    with closing(sqlite3.connect(home.journal)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    with closing(sqlite3.connect(f"{home.journal}.format-3")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM drops").fetchone() == (1,)


def test_journal_from_before_rejections_by_a_person_goes_on(home: Home, journal: Journal) -> None:
    """Of the same format: the column may be empty, and older programs go on without it."""
    journal.close()
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.execute("ALTER TABLE drops DROP COLUMN decided_by")
    with closing(Journal.open(home.journal)) as opened:
        opened.drops.refuse(a_drop(decided_by="cli"), DropState.REJECTED, "b")
    assert [row["decided_by"] for row in drops.newest(home.journal, 9)] == ["cli"]


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


def test_events_and_requests_are_kept_up_to_a_number(home: Home, journal: Journal) -> None:
    """Those of drops do not push out the others; facts stay, and numbers go on, whatever is removed."""
    with journal.together():
        journal.events.record(EventKind.SCHEMA, "It has grown.")
        for number in range(1, 8):
            journal.batches.commit(
                journal.batches.accept(a_batch(number), [a_drop(sha256=str(number))]), "r" * 40, "d" * 32
            )
        journal.swaps.record(1, None, "first")
        journal.versions.roll_back(1, "worse")
        for number in range(9):
            journal.requests.take(f"{number:016}", "retrain", "asked", utcnow())
            journal.drops.refuse(a_drop(sha256=f"x{number}"), DropState.REJECTED, "no")
        for number in range(7):
            journal.requests.end(f"{number:016}", RequestState.DONE, "as asked")
    facts = journal.swaps.newest_batch(), journal.swaps.rolled_back_since(1)
    assert facts == (7, True)
    newest = newest_event(home)
    writes = journal.writes
    assert journal.trim(100) == 0
    assert journal.writes == writes, "nothing to do costs no write"
    assert journal.trim(3) > 0
    left = [kind for kind, _ in events(home)]
    assert left == ["schema", "serving", "rolled back", "request", "request", "request"]
    assert [journal.requests.get(f"{number:016}") is None for number in (0, 3, 4, 6, 8)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert (journal.swaps.newest_batch(), journal.swaps.rolled_back_since(1)) == facts
    journal.trim(0)
    journal.events.record(EventKind.STARTED, "again")
    assert newest_event(home) == newest + 1


def test_journal_of_before_knows_the_batch_of_its_swap_when_events_have_gone(journal: Journal) -> None:
    """It was told by events alone."""
    for number in (1, 2):
        journal.batches.accept(a_batch(number), [a_drop(sha256=str(number))])
    journal.swaps.record(1, None, "first")
    journal.database.connection.execute(text("DELETE FROM meta"))
    journal.database.connection.commit()
    journal.batches.accept(a_batch(3), [a_drop(sha256="3")])
    assert journal.swaps.newest_batch() == 2
    journal.trim(0)
    assert journal.swaps.newest_batch() == 2


def test_removing_goes_piece_by_piece(home: Home, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.storage.journal_retention.MOST", 4)
    with journal.together():
        for number in range(10):
            journal.drops.refuse(a_drop(sha256=str(number)), DropState.REJECTED, "no")
    assert [journal.trim(1) for _ in range(4)] == [4, 4, 1, 0]
    assert len(events(home)) == 1
