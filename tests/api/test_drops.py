"""What people are told of their drops and of live scores: `GET /drops`, `GET /drops/ID`, `GET /versions`."""

import json
import os
from typing import Any

import bundles
import pytest
from sites import Client

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState
from retraind.daemon.core.status import Status, publish
from retraind.daemon.storage.journal import Journal

SEEN: Any = {"seen_at": "2026-01-01T00:00:00.000Z", "settled_at": "2026-01-01T00:00:01.000Z"}
SEGMENT: Any = {"segment": "s.parquet", "sha256": "e" * 64, "md5": "0" * 32, "rows": 8, "bytes": 99}
GOOD: Any = {**SEEN, "sha256": "a" * 64, "name": "good.csv", "source": "file", "bytes": 80, "rows_read": 10}
REFUSED: Any = {"rows_accepted": 8, "rows_refused": 1, "rows_duplicate": 1, "bad_file": "good.csv.bad.csv"}
FIRST_BAD: Any = {"line": 4, "column": "petal_width", "reason": "'x' is not a number."}
BAD: Any = {**SEEN, "sha256": "b" * 64, "name": "bad.csv", "source": "file", "bytes": 9, "reason": "The file is empty."}


@pytest.fixture
def client(home: Home, journal: Journal) -> Client:
    """A home in which one drop was accepted, one rejected, and one dropped again."""
    seq = journal.batches.accept(SEGMENT, [GOOD | REFUSED | FIRST_BAD])
    journal.batches.commit(seq, "c" * 40, "d" * 32)
    journal.drops.refuse(BAD, DropState.REJECTED, "bad.csv: The file is empty.")
    journal.drops.refuse(
        GOOD | {"name": "7"}, DropState.DUPLICATE, "7: The same bytes are in batch 1 already.", batch=seq
    )
    return Client(home)


def get(client: Client, path: str, query: str = "") -> tuple[int, Any]:
    status, _, body = client.ask("GET", path, QUERY_STRING=query)
    return status, json.loads(body)


def test_a_drop_by_id_sha256_and_name(client: Client) -> None:
    status, drop = get(client, "/drops/1")
    assert status == 200
    assert drop == get(client, "/drops/" + "a" * 64)[1] == get(client, "/drops/good.csv")[1]
    assert drop.items() >= {**GOOD, **REFUSED, **FIRST_BAD, "state": "accepted", "batch": 1}.items()
    assert drop["revision"] == "c" * 40
    assert drop["settled_at"] < drop["decided_at"] <= drop["committed_at"]
    assert get(client, "/drops/7")[1]["state"] == "duplicate", "7 is no id here, but a name"


def test_a_rejected_drop_says_why(client: Client) -> None:
    drop = get(client, "/drops/bad.csv")[1]
    assert (drop["state"], drop["reason"], drop["line"]) == ("rejected", "The file is empty.", None)
    assert (drop["batch"], drop["revision"], drop["committed_at"]) == (None, None, None)


@pytest.mark.parametrize("key", ["99", "c" * 64, "none.csv", "x' OR 1=1 --"])
def test_an_unknown_drop_is_a_problem(client: Client, key: str) -> None:
    status, headers, body = client.ask("GET", f"/drops/{key}")
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert "There is no drop" in json.loads(body)["detail"]


def test_file_that_is_not_decided_waits(client: Client, home: Home) -> None:
    """A client that has sent it asks for its outcome at once. Hidden files and our folders are none."""
    for name in ("sent.csv", ".hidden.csv", "good.csv"):
        (home.inbox / name).write_text("a\n")
    (home.inbox / os.fsdecode(b"\xff.csv")).write_text("a\n")
    assert get(client, "/drops/sent.csv") == (200, {"name": "sent.csv", "state": "waiting"})
    replaced = "\N{REPLACEMENT CHARACTER}.csv".encode().decode("latin-1")  # as a path arrives
    assert get(client, f"/drops/{replaced}")[1]["state"] == "waiting"
    assert get(client, "/drops/good.csv")[1]["state"] == "accepted"
    for name in (".hidden.csv", "rejected", "predict", "a" * 300):
        assert get(client, f"/drops/{name}")[0] == 404


def test_drops_are_listed_newest_first_and_in_pages(client: Client) -> None:
    status, listed = get(client, "/drops")
    assert status == 200
    assert [drop["name"] for drop in listed["drops"]] == ["7", "bad.csv", "good.csv"]
    assert {**listed["drops"][2], "taught": {"count": 0, "newest": []}} == get(client, "/drops/1")[1]
    assert listed["count"] == 3
    assert [drop["id"] for drop in get(client, "/drops", "limit=1&before=3")[1]["drops"]] == [2]


def test_what_waits_in_the_inbox_is_shown(home: Home, client: Client) -> None:
    assert get(client, "/drops")[1]["waiting"] is None, "no daemon has looked yet"
    said = {"pid": 1, "state": "ready", "heartbeat": 0.0, "at": "now", "started_at": "before"}
    publish(home.status, Status.model_validate({**said, "backlog_files": 3, "backlog_bytes": 700}))
    assert get(Client(home), "/drops")[1]["waiting"] == {"files": 3, "bytes": 700, "not_taken": {}}


def test_the_live_score_of_the_served_version_can_be_scraped(home: Home, journal: Journal) -> None:
    bundles.point(home, bundles.make(home, 1))
    client = Client(home)
    text = client.ask("GET", "/prometheus_metrics")[2].decode()
    assert "retraind_labels_total 0.0" in text
    assert "retraind_live_score{" not in text
    labels: list[Any] = [
        {
            "prediction_id": f"p{version}{n}",
            "version": version,
            "prediction": client,
            "truth": "setosa",
            "drop": "a" * 64,
        }
        for version, client in ((1, "setosa"), (2, "virginica"))
        for n in range(3)
    ]
    labels[0]["prediction"] = "virginica"
    journal.batches.accept(SEGMENT | {"rows": 6}, [GOOD | {"source": "label"}], labels)
    text = client.ask("GET", "/prometheus_metrics")[2].decode()
    assert "retraind_labels_total 6.0" in text
    assert 'retraind_live_score{version="1"} 0.6666666666666666' in text
    assert text.count("retraind_live_score{") == 1


def test_versions_show_their_live_score(home: Home, journal: Journal) -> None:
    for version in (1, 2):
        bundles.point(home, bundles.make(home, version))
    label: Any = {"version": 1, "prediction": "setosa", "truth": "setosa", "drop": "a" * 64}
    journal.batches.accept(
        SEGMENT, [GOOD | {"source": "label"}], [label | {"prediction_id": f"p{n}"} for n in range(4)]
    )
    versions = get(Client(home), "/versions")[1]["versions"]
    assert [(row["version"], row["live"] and row["live"]["accuracy"]) for row in versions] == [(2, None), (1, 1.0)]
    assert versions[1]["live"]["n"] == 4
    assert versions[1]["live"]["interval"] == pytest.approx([0.5101092, 1.0], abs=1e-6)
