"""retraind.daemon.records.records against a real journal."""

import json
import resource
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import JoinedLabel
from retraind.daemon.core.states import DropState, EventKind, RunState, VersionState
from retraind.daemon.records import challenger, live_score
from retraind.daemon.records.records import Records
from retraind.daemon.records.totals import TOTALS
from retraind.daemon.storage.journal import Journal

pytestmark = pytest.mark.engines

T = TypeVar("T")


def found(row: T | None) -> T:
    assert row is not None
    return row


def a_drop(name: str = "a.csv", sha256: str = "a" * 64, **fields: Any) -> Any:
    return {
        "sha256": sha256,
        "name": name,
        "source": "file",
        "bytes": 10,
        "rows_read": 5,
        "rows_accepted": 5,
        "rows_refused": 0,
        "settled_at": "2026-01-01T00:00:00.000Z",
        **fields,
    }


def a_version(version: int, **fields: Any) -> Any:
    return {
        "version": version,
        "mlflow_run": "f" * 32,
        "bundle": "b" * 64,
        "candidate": "forest",
        "backend": "onnx",
        "revision": "c" * 40,
        "dvc_md5": "d" * 32,
        "rows": 5,
        "trained_rows": 4,
        "trigger": "first rows",
        "scores": json.dumps({"challenger": {"reference": {"n": 1}}}),
        **fields,
    }


BATCH: Any = {"segment": "s.parquet", "sha256": "e" * 64, "md5": "0" * 32, "rows": 5, "bytes": 1}


def test_home_without_files_is_empty(tmp_path: Path) -> None:
    records = Records(Home(tmp_path / "nowhere"))
    lists = records.versions.newest, records.drops.newest, records.events.after, records.predictions.newest
    assert [read() for read in lists] == [[]] * 4
    singles = records.versions.get(1), records.drops.find("x"), records.requests.get("x"), records.batches.at("x")
    assert singles == (None,) * 4
    assert records.totals.counts()["rows"] == {"accepted": 0, "refused": 0, "rejected": 0}
    assert not (tmp_path / "nowhere").exists()


def test_file_without_tables_is_empty(home: Home) -> None:
    home.journal.touch()
    assert Records(home).runs.newest() == []


def test_damaged_file_is_an_error_not_an_empty_answer(home: Home) -> None:
    home.journal.write_bytes(b"not a database at all, but long enough to be one" * 50)
    with pytest.raises(sqlite3.DatabaseError):
        Records(home).versions.newest()


@pytest.mark.engines(server=False)
def test_journal_that_can_not_be_opened_is_an_error_not_an_empty_answer(home: Home, journal: Journal) -> None:
    """Without a free descriptor it is unknown whether a version waits, and not: none does."""
    journal.events.record(EventKind.STARTED, "The daemon has started.")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            challenger.waiting(home.journal)
        assert journal.versions.named_by(challenger.WAITING) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert challenger.waiting(home.journal) is None


def test_reads_what_the_journal_wrote_while_it_is_open_and_after(home: Home) -> None:
    journal = Journal.open(home.journal)
    seq = journal.batches.accept(BATCH, [a_drop(), a_drop("7", "7" * 64, rows_accepted=3, rows_refused=2)])
    journal.batches.commit(seq, "c" * 40, "d" * 32)
    journal.drops.refuse(
        a_drop("a.csv", "b" * 64, rows_accepted=0, reason="bad"), DropState.REJECTED, "a.csv rejected: bad"
    )
    journal.drops.refuse(a_drop("copy.csv"), DropState.DUPLICATE, "copy.csv is a duplicate", batch=seq)
    run = journal.runs.start("50 new rows", "c" * 40, "d" * 32, 5)
    journal.runs.end(run, RunState.TRAINED, "forest", version=1, seconds=1.5)
    journal.versions.judge(a_version(1), VersionState.PROMOTED, "the first")
    journal.swaps.record(1, None, "the first")
    journal.requests.take("q" * 16, "retrain", "asked", "2026-01-01T00:00:00Z")
    records = Records(home)
    for _ in range(2):
        assert [drop["name"] for drop in records.drops.newest()] == ["copy.csv", "a.csv", "7", "a.csv"]
        assert [drop["id"] for drop in records.drops.newest(limit=1, before=3)] == [2]
        assert found(records.drops.find("a" * 64))["state"] == "accepted"
        assert found(records.drops.find(3))["reason"] == "bad"
        assert found(records.drops.find("copy.csv"))["batch"] == seq
        assert [drop["name"] for drop in records.drops.until(seq)] == ["7", "a.csv"]
        assert found(records.versions.get(1))["scores"]["challenger"]["reference"]["n"] == 1
        assert records.runs.newest()[0]["seconds"] == 1.5
        assert found(records.batches.at("c" * 40))["seq"] == seq == records.batches.newest()[0]["seq"]
        assert records.swaps.newest()[0]["previous"] is None
        assert found(records.requests.get("q" * 16))["state"] == "queued"
        assert records.totals.counts() == {
            "drops": {"accepted": 2, "rejected": 1, "duplicate": 1, "forgotten": 0},
            "runs": {"started": 0, "trained": 1, "postponed": 0, "failed": 0, "abandoned": 0},
            "versions": {"promoted": 1, "refused": 0, "held": 0, "unservable": 0, "rolled back": 0},
            "rows": {"accepted": 13, "refused": 2, "rejected": 5},
        }
        journal.close()


@pytest.mark.engines(server=False)
def test_totals_come_from_an_index_alone(home: Home) -> None:
    Journal.open(home.journal).close()
    with closing(sqlite3.connect(home.journal)) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {TOTALS}"))
    assert "USING COVERING INDEX drops_totals" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.engines(server=False)
def test_totals_go_on_from_where_they_were(home: Home) -> None:
    records = Records(home)
    assert records.totals.counts()["drops"]["accepted"] == 0
    with closing(Journal.open(home.journal)) as journal:
        journal.batches.accept(BATCH, [a_drop(), a_drop("b.csv", "b" * 64)])
        for _ in range(2):
            assert records.totals.counts()["rows"] == {"accepted": 10, "refused": 0, "rejected": 0}
        journal.drops.refuse(a_drop("c.csv", "c" * 64, rows_accepted=0), DropState.REJECTED, "c.csv: bad")
        assert records.totals.counts()["drops"] == {"accepted": 2, "rejected": 1, "duplicate": 0, "forgotten": 0}
        assert records.totals.counts() == Records(home).totals.counts()
    home.journal.rename(home.registry / "old.db")
    with closing(Journal.open(home.journal)) as journal:
        journal.batches.accept(BATCH, [a_drop()])
    assert records.totals.counts()["rows"]["accepted"] == 5, "another journal is counted from its beginning"


def test_a_drop_tells_of_its_batch(home: Home) -> None:
    with closing(Journal.open(home.journal)) as journal:
        seq = journal.batches.accept(
            BATCH, [a_drop(seen_at="then", rows_duplicate=2, bad_file="a.csv.bad.csv", line=3)]
        )
        journal.drops.refuse(a_drop("b.csv", "b" * 64, reason="bad"), DropState.REJECTED, "b.csv: bad")
        records = Records(home)
        accepted = found(records.drops.find("a" * 64))
        assert (accepted["batch"], accepted["revision"], accepted["committed_at"]) == (seq, None, None)
        journal.batches.commit(seq, "c" * 40, "d" * 32)
        accepted = found(records.drops.find("a.csv"))
        assert (accepted["revision"], accepted["seen_at"], accepted["rows_duplicate"]) == ("c" * 40, "then", 2)
        assert accepted["committed_at"] is not None
        assert accepted["committed_at"] >= accepted["decided_at"]
        rejected = found(records.drops.find(accepted["id"] + 1))
        assert (rejected["name"], rejected["revision"], rejected["committed_at"]) == ("b.csv", None, None)
        assert records.drops.newest() == [rejected, accepted]


def labelled(journal: Journal, version: int, *pairs: tuple[str, str], start: int = 0) -> None:
    """One batch of late labels, each a truth and what had been predicted."""
    labels: list[JoinedLabel] = [
        {"prediction_id": f"{version}-{start + number}", "version": version, "prediction": answer, "truth": truth}
        for number, (truth, answer) in enumerate(pairs)
    ]
    batch: Any = {**BATCH, "segment": f"{version}-{start}.parquet"}
    journal.batches.accept(batch, [a_drop(source="label")], [{**label, "drop": "a" * 64} for label in labels])


def test_live_scores_come_from_late_labels(home: Home) -> None:
    records = Records(home)
    assert (
        records.versions.live(1),
        records.versions.live_scores(records.versions.newest()),
        records.totals.labels(),
    ) == (None, {}, 0)
    with closing(Journal.open(home.journal)) as journal:
        for version in (1, 2, 3):
            journal.versions.judge(a_version(version), VersionState.PROMOTED, "better")
        assert (
            records.versions.live(1),
            records.versions.live_scores(records.versions.newest()),
            records.totals.labels(),
        ) == (None, {}, 0)
        labelled(journal, 1, *[("cat", "cat")] * 7, ("cat", "dog"), ("dog", "dog"), ("eel", "cat"))
        labelled(journal, 2, ("cat", "dog"))
        labelled(journal, 8, ("cat", "cat"))
    live = found(records.versions.live(1))
    # The interval of 8 of 10 as statsmodels' proportion_confint(8, 10, method="wilson") gives it.
    assert live.pop("interval") == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert live == {
        "n": 10,
        "accuracy": 0.8,
        "recall": {"cat": 0.875, "dog": 1.0, "eel": 0.0},
        "support": {"cat": 8, "dog": 1, "eel": 1},
    }
    scores = records.versions.live_scores(records.versions.newest())
    assert sorted(scores) == [1, 2], "3 has no label, and 8 is no version"
    assert scores[2]["interval"][0] == 0.0
    assert records.totals.labels() == 12


@pytest.mark.parametrize("absurd", [[("1e+200", "1.0")], [("1e+200", "1.0"), ("-1e+200", "1.0")], [("1.0", "1e+200")]])
def test_live_score_of_absurd_numbers_is_unknown(home: Home, absurd: list[tuple[str, str]]) -> None:
    """Labels from before they were refused: JSON knows neither nan nor infinity, and a page must not break."""
    figures = {"challenger": {"rolling": {"n": 9, "r2": 0.5, "rmse": 1.0, "mae": 1.0}}}
    with closing(Journal.open(home.journal)) as journal:
        journal.versions.judge(a_version(1, scores=json.dumps(figures)), VersionState.PROMOTED, "better")
        labelled(journal, 1, ("1.0", "2.0"), ("2.0", "2.0"), *absurd)
    live = found(Records(home).versions.live(1))
    assert (live["n"], live["r2"], live["rmse"]) == (2 + len(absurd), None, None)


def test_live_scores_of_numbers(home: Home) -> None:
    figures = {"challenger": {"rolling": {"n": 9, "r2": None, "rmse": 0.0, "mae": 0.0}}}
    with closing(Journal.open(home.journal)) as journal:
        for version in (1, 2):
            journal.versions.judge(a_version(version, scores=json.dumps(figures)), VersionState.PROMOTED, "better")
        labelled(journal, 1, ("1.0", "2.0"), ("2.0", "2.0"), ("6.0", "3.0"))
        labelled(journal, 2, ("0.1", "0.2"), ("0.1", "0.1"), ("0.1", "0.1"))
    live = found(Records(home).versions.live(1))
    assert live == pytest.approx({"n": 3, "r2": 1 - 10 / 14, "rmse": (10 / 3) ** 0.5, "mae": 4 / 3})
    assert found(Records(home).versions.live(2))["r2"] is None, "equal truths leave nothing to explain"


def test_only_the_newest_labels_count(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retraind.daemon.records.live_score.LABELS", 3)
    with closing(Journal.open(home.journal)) as journal:
        journal.versions.judge(a_version(1), VersionState.PROMOTED, "better")
        labelled(journal, 1, *[("cat", "dog")] * 5)
        labelled(journal, 1, ("cat", "dog"), ("cat", "cat"), ("cat", "cat"), ("cat", "cat"), start=5)
    assert found(Records(home).versions.live(1))["accuracy"] == 1.0


@pytest.mark.engines(server=False)
@pytest.mark.parametrize("query", [live_score.PAIRS, live_score.ERRORS])
def test_live_scores_read_no_more_than_they_need(home: Home, query: str) -> None:
    Journal.open(home.journal).close()
    with closing(sqlite3.connect(home.journal)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", (1, 10))]
    assert "SEARCH labels USING INDEX labels_of_version (version=?)" in plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan


def test_events_go_on_after_the_last_one_seen(home: Home) -> None:
    journal = Journal.open(home.journal)
    for number in range(5):
        journal.events.record(EventKind.STARTED, f"event {number}")
    journal.close()
    records = Records(home)
    assert [event["id"] for event in records.events.after(after=2, limit=2)] == [3, 4]
    assert [event["id"] for event in records.events.newest(2)] == [5, 4]


def test_a_name_is_data_never_sql(home: Home) -> None:
    Journal.open(home.journal).close()
    assert Records(home).drops.find("x' OR 1=1 --") is None


def test_history_pages_by_prediction_id(home: Home) -> None:
    connection = sqlite3.connect(home.history)
    connection.execute(
        "CREATE TABLE predictions(seq INTEGER PRIMARY KEY AUTOINCREMENT, prediction_id TEXT, timestamp TEXT, features TEXT, "
        "prediction INTEGER, prediction_name TEXT, confidence REAL, model_version INTEGER, latency_ms REAL)"
    )
    for number in range(6):
        values = (None, f"p{number}", "2026-01-01T00:00:00Z", "[5.1, null]", 0, "setosa", 0.9, 1 + number % 2, 0.1)
        connection.execute("INSERT INTO predictions VALUES (?,?,?,?,?,?,?,?,?)", values)
    connection.commit()
    connection.close()
    records = Records(home)
    assert [row["prediction_id"] for row in records.predictions.newest(limit=2)] == ["p5", "p4"]
    assert [row["prediction_id"] for row in records.predictions.newest(limit=2, before="p4")] == ["p3", "p2"]
    assert [row["prediction_id"] for row in records.predictions.newest(version=1)] == ["p4", "p2", "p0"]
    assert records.predictions.newest()[0]["features"] == [5.1, None]
    assert records.predictions.newest(before="unknown") == []
    assert records.predictions.confidences(version=2, limit=2) == [0.9, 0.9]
