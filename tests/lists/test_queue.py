"""What waits, and why: files, other entries, held drops, requests, the training, answers."""

import os
import time
from contextlib import closing
from typing import Any

import pytest
from stories import alive

from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import Check, Status, Training
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal
from retraind.web.dashboard import next_steps
from retraind.web.lists import queue
from retraind.web.lists.queue import Queue


def read(home: Home, status: Status | None) -> Queue:
    return queue.read(home, Records(home), Settings(), status)


def drop(home: Home, name: str, text: str = "a,b\n1,2\n", age: float = 0.0) -> None:
    path = home.inbox / name
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)


def test_empty_and_missing_folders_read_as_empty(home: Home) -> None:
    waiting = read(home, alive())
    assert [waiting[name]["total"] for name in ("inbox", "ignored", "predict", "outbox")] == [0] * 4
    assert (waiting["requests"], waiting["held"], waiting["other"], waiting["problem"]) == ([], [], [], "")
    home.inbox.rename(home.root / "elsewhere")
    assert read(home, alive())["problem"] == f"{home.inbox} is gone."


def test_each_file_says_why_it_is_still_there(home: Home) -> None:
    drop(home, "old.csv", age=100)
    drop(home, "new.csv")
    drop(home, "half.part")
    (home.inbox / "link.csv").symlink_to(home.inbox / "old.csv")
    (home.inbox / "folder").mkdir()
    os.mkfifo(home.inbox / "pipe")
    inbox = Inbox(home, Limits(), lambda: None)
    with (home.inbox / "new.csv").open("a"):
        inbox.settled(100.0)
        taken = inbox.settled(200.0)
    assert list(taken) == ["old.csv"]
    waiting = read(home, alive(waits=inbox.waits))
    assert [(file["name"], file["why"]) for file in waiting["inbox"]["files"]] == [
        ("old.csv", queue.SETTLED),
        ("new.csv", "a program still has it open for writing"),
    ]
    assert waiting["inbox"]["bytes"] == 16
    assert [file["name"] for file in waiting["ignored"]["files"]] == ["half.part"]
    assert {entry["name"]: entry["why"].partition(",")[0] for entry in waiting["other"]} == {
        "link.csv": "a link",
        "folder": "a folder",
        "pipe": "a pipe",
    }


def test_quiet_time_is_told(home: Home) -> None:
    drop(home, "a.csv")
    inbox = Inbox(home, Limits(settle_seconds=5), lambda: None)
    assert inbox.settled(100.0) == {}
    assert inbox.waits == {
        "a.csv": "it has just changed; after 5 s of quiet it counts as finished (inbox.settle_seconds)"
    }
    assert list(inbox.settled(200.0)) == ["a.csv"]
    assert inbox.waits == {}


def test_dead_daemon_and_failing_checks_are_the_reason(home: Home) -> None:
    drop(home, "a.csv")
    assert read(home, None)["inbox"]["files"][0]["why"] == queue.ABSENT
    assert read(home, None)["next"] == [next_steps.STOPPED]
    full = alive(checks={"disk": Check(ok=False, detail="Full.")})
    assert read(home, full)["inbox"]["files"][0]["why"] == "disk: Full."
    none = alive(checks={"schema": Check(ok=False, detail="There is none yet: run `retraind init`.")})
    assert "there is no schema yet" in read(home, none)["inbox"]["files"][0]["why"]


@pytest.mark.engines
def test_held_drops_and_requests(home: Home, journal: Journal) -> None:
    drop(home, "odd.csv")
    waits: Any = {"sha256": "a" * 64, "name": "odd.csv", "bytes": 8, "rows_read": 5, "rows_known": 0, "version": 1}
    waits |= {"reason": "odd", "seen_at": None}
    journal.held.hold(waits)
    request = requests.ask(home, "accept", drop="a" * 64, by="http")
    journal.requests.take("b" * 16, "retrain", "forced", "2026-01-01T00:00:00.000Z")
    waiting = read(home, alive())
    assert [row["name"] for row in waiting["held"]] == ["odd.csv"]
    assert waiting["inbox"]["files"] == [], "a held drop is listed as that"
    assert [(row["id"], row["kind"], row["about"], row["state"]) for row in waiting["requests"]] == [
        ("b" * 16, "retrain", "forced", "queued"),
        (request.id, "accept", f"drop {'a' * 12}", "pending"),
    ]


def test_training_with_its_limits(home: Home) -> None:
    with closing(Journal.open(home.journal)):
        pass
    training = Training(
        run=2, reason="50 new rows", stage="cross-validating tree", step=1, steps=9, since="2026-01-01T00:00:00Z",
        candidate=1, candidates=4, left=8.0,
    )  # fmt: skip
    running = read(home, alive(training=training))["training"]
    assert running is not None
    assert (running["candidate"], running["candidates"], running["left"]) == (1, 4, 8.0)
    assert running["seconds"] > 1000
    assert running["timeout_seconds"] == 3600
    assert read(home, None)["training"] is None


def test_files_to_predict_and_answers(home: Home) -> None:
    home.predict.mkdir()
    (home.predict / "rows.csv").write_text("a\n1\n")
    home.outbox.mkdir()
    (home.outbox / "done.predictions.csv").write_text("a,prediction\n")
    (home.outbox / ".hidden.tmp").write_text("x")
    check = Check(ok=True, detail="1 file in inbox/predict: no version serves yet, so nothing is answered.")
    waiting = read(home, alive(checks={"outbox": check}))
    assert [(file["name"], file["why"]) for file in waiting["predict"]["files"]] == [("rows.csv", check.detail)]
    assert [file["name"] for file in waiting["outbox"]["files"]] == ["done.predictions.csv"]
    assert waiting["other"] == []


def test_many_files_are_counted_and_some_are_named(home: Home) -> None:
    for number in range(queue.SHOWN + 20):
        drop(home, f"{number}.csv", age=1000 - number)
    waiting = read(home, alive())["inbox"]
    assert (len(waiting["files"]), waiting["total"]) == (queue.SHOWN, queue.SHOWN + 20)
    assert waiting["files"][0]["name"] == "0.csv"
