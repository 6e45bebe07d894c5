"""Held drops: suspicious ones wait in the inbox until a person lets them in or turns them away. Real git, DVC, SQLite and folders."""

import shutil
from pathlib import Path
from typing import Any

import bundles
import holding
import orjson
import pytest
from holding import ODD, REASON, ask_for, held, messages, sha256
from ingesting import Parts
from test_exam_runner import flowers

from retraind.daemon.backup import backup, restore
from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest import exam_runner
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.schema import labelled_row, schema
from retraind.daemon.tabular import csv_table, file_content
from retraind.daemon.tabular.file_content import Content

pytestmark = pytest.mark.engines(full=True)

parts = pytest.fixture(holding.parts)


def test_a_suspicious_drop_waits_and_the_others_go_on(parts: Parts) -> None:
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    parts.drop("odd.csv", ODD)
    parts.run()
    assert parts.drops() == [("good.csv", "accepted")]
    assert len(parts.lengths) == 40
    assert parts.waiting == ["odd.csv"]
    assert held(parts) == [("odd.csv", REASON)]
    assert parts.ingestion.intake.holding.sentence() == (
        f"1 drop waits for you: odd.csv, because {REASON}. Decide with `retraind accept` or `retraind reject`."
    )
    assert parts.inbox.backlog == (0, 0)
    assert [row["name"] for row in parts.journal.exams.newest(10)] == ["good.csv"], "what has not come in is not usual"
    (event,) = messages(parts, "suspicious")
    assert event == f"odd.csv is suspicious: {REASON}. It waits for `retraind accept` or `retraind reject`."


def test_a_flood_of_larger_drops_lets_no_bad_one_past_its_exam(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch takes no more files than it can examine; samples, which have one row, don't count."""
    monkeypatch.setattr(exam_runner, "MOST_DROPS", 2)
    for number in range(3):
        parts.drop(f"good-{number}.csv", flowers(40, "setosa", begin=100 * number))
        labelled_row.drop(parts.home, labelled_row.make(bundles.SCHEMA, [9, 1, 1, number], "setosa"))
    parts.drop("odd.csv", flowers(24, "setosa", "virginica", begin=500))
    parts.run()
    assert held(parts) == [("odd.csv", REASON)]
    assert len(parts.lengths) == 3 * 40 + 3
    assert len(parts.journal.batches.all()) == 2


def test_one_that_is_let_in_is_taken_once(parts: Parts) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    state, detail = ask_for(parts, "accept", sha256(parts, "odd.csv"))
    assert (state, detail) == ("done", "odd.csv is accepted: its rows are read next.")
    assert parts.drops() == [("odd.csv", "accepted")]
    assert (len(parts.lengths), parts.waiting, held(parts)) == (60, [], [])
    [exam] = parts.journal.exams.newest(10)
    assert (exam["name"], exam["suspicious"]) == ("odd.csv", 1)
    assert parts.journal.held.all() == []


def test_one_that_is_turned_away_goes_to_rejected_with_the_reason(parts: Parts) -> None:
    parts.drop("known.csv", "".join(line for line in ODD.splitlines(keepends=True)[:21] if "virginica" not in line))
    parts.run()
    parts.drop("odd.csv", ODD)
    parts.run()
    assert ask_for(parts, "reject", sha256(parts, "odd.csv"))[0] == "done"
    assert parts.drops() == [("known.csv", "accepted"), ("odd.csv", "rejected")]
    assert (len(parts.lengths), parts.waiting, held(parts)) == (10, [], [])
    assert (parts.home.rejected / "odd.csv").read_text() == ODD
    report = orjson.loads((parts.home.rejected / "odd.csv.report.json").read_bytes())
    assert report["reason"] == f"It was held because {REASON}, and rejected by request (cli)."
    assert (report["rows_read"], report["rows_known"]) == (60, 10)
    assert parts.journal.held.all() == []
    parts.drop("odd.csv", ODD)
    parts.run()
    assert held(parts) == [("odd.csv", REASON)], "who drops it again is asked again"


def test_a_restart_forgets_nothing_and_says_nothing_twice(parts: Parts) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    for _ in range(2):
        parts.reopen()
        parts.run()
    assert (held(parts), parts.waiting, parts.lengths) == ([("odd.csv", REASON)], ["odd.csv"], [])
    assert len(messages(parts, "suspicious")) == 1
    parts.reopen()
    # Decided before the new process has read the file.
    assert ask_for(parts, "accept", sha256(parts, "odd.csv"))[0] == "done"
    assert (len(parts.lengths), parts.waiting, held(parts)) == (60, [], [])


@pytest.mark.parametrize(("kind", "state"), [("accept", "accepted"), ("reject", "rejected")])
def test_what_was_decided_survives_a_kill(parts: Parts, kind: requests.Kind, state: str) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    request = requests.submit(parts.home, kind, drop=sha256(parts, "odd.csv"))
    parts.ingestion.intake.holding.answer()
    # The kill came before the request's file was removed.
    (parts.home.requests / request.name).write_bytes(request.model_dump_json().encode())
    parts.reopen()
    parts.run()
    assert parts.drops() == [("odd.csv", state)]
    answered = parts.journal.requests.get(request.id)
    assert answered is not None
    assert answered["state"] == "done"
    assert (parts.waiting, parts.journal.held.all()) == ([], [])


def test_a_decision_outlives_the_file(parts: Parts) -> None:
    """A share that is gone for a while brings it back; it need not be decided twice."""
    parts.drop("odd.csv", ODD)
    parts.run()
    requests.submit(parts.home, "accept", drop=sha256(parts, "odd.csv"))
    (parts.home.inbox / "odd.csv").unlink()
    parts.run()
    assert held(parts) == []
    parts.drop("odd.csv", ODD)
    parts.run()
    assert (parts.drops(), parts.journal.held.all()) == ([("odd.csv", "accepted")], [])


def test_a_moved_home_holds_it_still(parts: Parts, tmp_path: Path) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    parts.close()
    # Another inode and another time of change: what is held is known by its bytes.
    shutil.copytree(parts.home.root, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    parts.home = Home(tmp_path / "elsewhere")
    parts.open()
    parts.run()
    assert (held(parts), parts.waiting) == ([("odd.csv", REASON)], ["odd.csv"])
    assert ask_for(parts, "accept", sha256(parts, "odd.csv"))[0] == "done"
    assert len(parts.lengths) == 60


def test_a_backup_has_what_is_held(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "SETTLED_SECONDS", 0.0)
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    parts.drop("odd.csv", ODD)
    parts.run()
    backup.backup(parts.home, tmp_path / "home.tar")
    parts.close()
    parts.home = Home(tmp_path / "again")
    restore.restore(tmp_path / "home.tar", parts.home)
    parts.open()
    assert held(parts) == [("odd.csv", REASON)]
    parts.run()
    assert (held(parts), parts.waiting, len(parts.lengths)) == ([("odd.csv", REASON)], ["odd.csv"], 40)


def test_late_labels_are_never_held(parts: Parts) -> None:
    """They are what a bad version is taken back by."""
    suspicious: list[Any] = [{"drop": "a" * 64, "reason": "odd", "version": 1}]
    drop = Drop("labels.csv", Stamp(1, 1, 1), Content("a" * 64, 1, b"x"), "")
    holding = parts.ingestion.intake.holding
    assert holding.suspects(suspicious, [Reading(drop, source="label")]) == []
    assert [one.reading.drop for one in holding.suspects(suspicious, [Reading(drop)])] == [drop]


def test_the_schema_grows_by_what_is_let_in_only(parts: Parts) -> None:
    lines = ODD.splitlines()
    wide = "\n".join([f"{lines[0]},colour", *(f"{line},red" for line in lines[1:])]) + "\n"
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    parts.drop("wide.csv", wide)
    parts.run()
    assert held(parts) == [("wide.csv", REASON)]
    assert schema.load(parts.home.schema) == bundles.SCHEMA
    assert messages(parts, "schema") == []
    ask_for(parts, "accept", sha256(parts, "wide.csv"))
    grown = schema.load(parts.home.schema)
    assert grown is not None
    assert "colour" in grown.features


def test_a_large_file_is_held_and_leaves_no_segment(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_content, "SMALL_BYTES", 50_000)
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 20_000)
    parts.drop("large.csv", flowers(5000, "setosa", "virginica"))
    parts.run()
    assert [name for name, _ in held(parts)] == ["large.csv"]
    assert list(parts.home.segments.iterdir()) == []
    assert [path.name for path in parts.home.data.iterdir() if path.name.endswith(".tmp")] == []
    ask_for(parts, "accept", sha256(parts, "large.csv"))
    assert len(parts.lengths) == 5000


def test_single_rows_are_not_held(parts: Parts) -> None:
    for number in range(30):
        parts.drop(f"{number}.csv", flowers(2, "virginica", begin=2 * number))
    parts.run()
    assert (held(parts), len(parts.lengths)) == ([], 60)
