"""Held drops: suspicious ones wait in the inbox until a person lets them in or turns them away. Real git, DVC, SQLite and folders."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import orjson
import pytest
from ingesting import Parts
from running import a_status, retraind
from service import Service, wait_until
from service import flowers as service_flowers
from sites import Client
from test_exam_runner import flowers, serve

from daemon.backup import backup, restore
from daemon.cli.report import drops as drop_report
from daemon.cli.report import health
from daemon.core import requests
from daemon.core.errors import NotFound
from daemon.core.home import Home
from daemon.core.settings import Inbox, Settings
from daemon.core.status import publish
from daemon.inbox.drop import Drop
from daemon.inbox.settling import Stamp
from daemon.ingest import exam_runner
from daemon.ingest.reading.reading import Reading
from daemon.records import drops
from daemon.records.query import ask
from daemon.schema import labelled_row, schema
from daemon.tabular import csv_table, file_content
from daemon.tabular.file_content import Content

REASON = "50% of its labels disagree with v1, usually 5%"
ODD = flowers(60, "setosa", "virginica")
HOLDING = Settings(inbox=Inbox(settle_seconds=0.0, suspicious="hold", new_categories="accept", extra_columns="add"))


@pytest.fixture
def parts(home: Home) -> Iterator[Parts]:
    home.schema.write_bytes(bundles.SCHEMA.dump())
    serve(home)
    parts = Parts(home, HOLDING)
    yield parts
    parts.close()


def held(parts: Parts) -> list[tuple[str, str]]:
    """Name and reason of what waits, as everybody reads it."""
    return [(row["name"], row["reason"]) for row in drops.held(parts.home.journal, 99)]


def sha256(parts: Parts, name: str) -> str:
    [row] = drops.held_like(parts.home.journal, name)
    return str(row["sha256"])


def ask_for(parts: Parts, kind: requests.Kind, drop: str) -> tuple[str, str]:
    """What becomes of a request; everything else goes on meanwhile."""
    request = requests.submit(parts.home, kind, drop=drop)
    parts.run()
    row = parts.journal.requests.get(request.id)
    assert row is not None
    return row["state"], row["detail"]


def messages(parts: Parts, kind: str) -> list[str]:
    return [row["message"] for row in ask(parts.home.journal, "SELECT message FROM events WHERE kind = ?", kind)]


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


def test_held_drops_are_shown_first_and_decided_over_http(parts: Parts) -> None:
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    parts.drop("odd.csv", ODD)
    parts.run()
    client = Client(parts.home)
    answer = orjson.loads(client.ask("GET", "/drops")[2])
    assert [(one["name"], one["state"], one["reason"], one["rows_read"]) for one in answer["held"]] == [
        ("odd.csv", "held", REASON, 60)
    ]
    assert [one["name"] for one in answer["drops"]] == ["good.csv"]
    drop = answer["held"][0]["sha256"]
    for key in ("odd.csv", drop):
        assert orjson.loads(client.ask("GET", f"/drops/{key}")[2])["state"] == "held"
    page = client.ask("GET", "/dashboard")[2].decode()
    assert "; 1 held<" in page
    assert page.index(">odd.csv<") < page.index(">good.csv<")
    assert f'data-drop="{drop}"' in page
    assert "retraind_drops_held 1.0" in client.ask("GET", "/prometheus_metrics")[2].decode()
    assert client.ask("POST", "/accept", b'{"drop": "nope.csv"}')[0] == 404
    assert client.ask("POST", "/accept", b"{}")[0] == 422
    status, _, body = client.ask("POST", "/accept", b'{"drop": "odd.csv"}')
    assert status == 202
    parts.run()
    row = parts.journal.requests.get(orjson.loads(body)["request"])
    assert row is not None
    assert (row["kind"], row["state"]) == ("accept", "done")
    assert len(parts.lengths) == 100


def test_thousands_that_wait_are_counted_and_listed_in_part(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    with parts.journal.together():
        for number in range(3000):
            facts: Any = {
                "sha256": f"{number:064}",
                "name": f"{number}.csv",
                "bytes": 1,
                "rows_read": 60,
                "rows_known": 0,
            }
            parts.journal.held.hold(facts | {"version": 1, "reason": REASON, "seen_at": None})
    client = Client(parts.home)
    for query, most in (("limit=2", 2), ("", 100)):
        answer = orjson.loads(client.ask("GET", "/drops", QUERY_STRING=query)[2])
        assert (len(answer["held"]), answer["held_total"]) == (most, 3000)
    last = f"{2999:064}"
    for key in ("2999.csv", last):
        assert orjson.loads(client.ask("GET", f"/drops/{key}")[2])["sha256"] == last
    assert "retraind_drops_held 3000.0" in client.ask("GET", "/prometheus_metrics")[2].decode()
    page = client.ask("GET", "/dashboard")[2].decode()
    assert "; 3000 held<" in page
    assert len(page) < 200_000
    drop_report.print_table(drop_report.listed(parts.home, 20))
    assert capsys.readouterr().out.count(REASON) == 20
    assert health.read(parts.home)["drops_held"] == 3000


def test_what_waits_for_a_person_is_no_news_to_train_on(parts: Parts) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    publish(parts.home.status, a_status(rows_pending=0))
    client = Client(parts.home)
    assert client.ask("POST", "/trigger_retrain", b"{}")[0] == 200
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    assert client.ask("POST", "/trigger_retrain", b"{}")[0] == 202


def test_the_command_line_shows_what_waits_first(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    parts.drop("odd.csv", ODD)
    parts.run()
    listed = drop_report.listed(parts.home, 20)
    assert [(row["name"], row["state"]) for row in listed] == [("odd.csv", "held"), ("good.csv", "accepted")]
    drop_report.print_table(listed)
    assert f"held odd.csv: {REASON}" in capsys.readouterr().out
    assert drop_report.get(parts.home, "odd.csv")["reason"] == REASON
    assert drop_report.held(parts.home, "odd.csv")["sha256"] == listed[0]["sha256"]
    with pytest.raises(NotFound, match=r"No drop 'good.csv' waits.*These do: odd.csv"):
        drop_report.held(parts.home, "good.csv")
    facts = health.read(parts.home)
    assert facts["drops_held"] == 1
    assert "1 drop waits for `retraind accept` or `retraind reject`" in health.as_text(facts)


NEXT = {"setosa": "versicolor", "versicolor": "virginica", "virginica": "setosa"}


def mislabelled(rows: list[str]) -> list[str]:
    return [f"{row.rpartition(',')[0]},{NEXT[row.rpartition(',')[2]]}" for row in rows]


@pytest.mark.slow
def test_a_whole_service_holds_a_drop_over_a_kill_until_a_person_takes_it(tmp_path: Path) -> None:
    service = Service(tmp_path / "home", RETRAIND_INBOX__SUSPICIOUS="hold").start()
    try:
        service.wait_served()
        service.drop("odd.csv", mislabelled(service_flowers(1, 60)))
        wait_until(lambda: service.ask("/drops")[1]["held"], what=f"a held drop: {service.log()[-1500:]}")
        service.kill()
        service.start()
        assert service.drops() == ["odd.csv"]
        checks = wait_until(lambda: service.ask("/health")[1]["checks"].get("held"), what="a check")
        assert checks["ok"]
        assert checks["detail"].startswith("1 drop waits for you: odd.csv, because 100% of its labels disagree with v1")
        done = retraind("accept", "odd.csv", home=service.home)
        assert (done.returncode, "odd.csv is accepted" in done.stderr) == (0, True), done.stderr
        service.wait_ingested()
        assert service.rows().total() == 150 + 60
        assert service.ask("/drops")[1]["held"] == []
    finally:
        service.end()
