"""Prediction logs of nodes reach the leader's history once each, wherever either side is killed."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stores
from sqlalchemy import text

from benchmarks.postgres import Postgres
from retraind.daemon.core import durable
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.node.messages import NodeReport, NodeState
from retraind.daemon.core.settings import Settings
from retraind.daemon.nodes.log_receiving import LogReceiving
from retraind.daemon.nodes.log_shipping import LogShipping
from retraind.daemon.nodes.reports import Reports
from retraind.daemon.objects.store import ObjectLost
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.daemon.storage.server import log_rows, node_rows
from retraind.daemon.storage.server.node_session import NodeSession

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)


class Killed(BaseException):
    """What stands for a kill."""


class Pair:
    """A node with logged predictions and its leader."""

    def __init__(self, folder: Path, url: str, bucket: stores.Bucket) -> None:
        self.node, self.leader = Home(folder / "node"), Home(folder / "leader")
        self.node.make()
        self.leader.make()
        journal_server.settle(self.leader, url)
        self.journal = Journal.open(self.leader.journal)
        with self.journal.database.writing() as connection:
            self.epoch = node_rows.lead(connection, "here").epoch
        self.settings = Settings.model_validate(
            {"role": "node", "journal": {"url": url}, "storage": bucket.settings.model_dump(), "node": {"name": "one"}}
        )
        self.store, self.url = bucket.store, url

    def log(self, number: int) -> None:
        """A finished log file with one prediction."""
        line = {
            "prediction_id": f"p-{number}",
            "timestamp": "2026-11-29T12:00:00.000Z",
            "features": [1.0],
            "prediction": 0,
            "prediction_name": "setosa",
            "confidence": 1.0,
            "model_version": 1,
            "latency_ms": 0.1,
        }
        name = f"predictions-0-20261129T12000{number:07}-99999999.jsonl"
        (self.node.logs / name).write_text(json.dumps(line) + "\n")

    def ship(self) -> None:
        LogShipping(self.node, self.settings, self.store).ship()

    def receive(self) -> None:
        LogReceiving(self.leader, self.url, self.store, lambda: self.epoch).receive(self.epoch)
        self.copy()

    def copy(self) -> None:
        """Make the history."""
        copier = HistoryCopier(self.leader, self.settings)
        copier.copy()
        copier.close()

    def history(self) -> list[str]:
        """The ids in the leader's history, in order."""
        connection = sqlite3.connect(self.leader.history)
        rows = connection.execute("SELECT prediction_id FROM predictions ORDER BY prediction_id").fetchall()
        connection.close()
        return [row[0] for row in rows]


@pytest.fixture
def pair(tmp_path: Path, postgres: Postgres, bucket: stores.Bucket) -> Iterator[Pair]:
    """A node and its leader."""
    pair = Pair(tmp_path, postgres.url(), bucket)
    yield pair
    pair.journal.close()


def finish(pair: Pair) -> None:
    """Both sides start again and do the rest."""
    pair.ship()
    pair.receive()
    pair.receive()


def test_logged_predictions_reach_the_history_and_nothing_is_left_elsewhere(pair: Pair, bucket: stores.Bucket) -> None:
    for number in range(3):
        pair.log(number)
    finish(pair)
    assert pair.history() == ["p-0", "p-1", "p-2"]
    assert list(pair.node.logs.glob("predictions-*")) == []
    assert list(pair.leader.logs.glob("*shipped*")) == []
    assert bucket.names() == set()


POINTS: list[tuple[object, str]] = [
    (log_rows, "is_known"),
    (log_rows, "ship"),
    (durable, "remove"),
    (log_rows, "take"),
    (durable, "fsync_dir"),
    (log_rows, "end"),
]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("place", "name"), POINTS, ids=[name for _, name in POINTS])
def test_killed_at_any_step_each_line_counts_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, place: object, name: str, moment: str
) -> None:
    original: Callable[..., object] = getattr(place, name)

    def killed(*arguments: object, **more: object) -> object:
        if moment == "after":
            original(*arguments, **more)
        raise Killed

    pair.log(1)
    pair.log(2)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, killed)
        with pytest.raises(Killed):
            finish(pair)
    finish(pair)
    assert pair.history() == ["p-1", "p-2"]


@pytest.mark.parametrize("moment", ["rename", "removal"])
def test_file_that_a_lost_leader_had_taken_is_taken_by_the_next(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: stores.Bucket, moment: str
) -> None:
    """Its home has the bytes under a hidden name only, or has just named them: the next leader's history needs them."""

    def killed(*_arguments: object) -> None:
        raise Killed

    pair.log(1)
    pair.ship()
    place: tuple[type, str] = (Path, "rename") if moment == "rename" else (type(pair.store), "delete")
    with monkeypatch.context() as patch:
        patch.setattr(place[0], place[1], killed)
        with pytest.raises(Killed):
            pair.receive()
    first, pair.leader = pair.leader, Home(tmp_path / "second")
    pair.leader.make()
    pair.receive()
    assert pair.history() == ["p-1"]
    assert bucket.names() == set()
    pair.leader = first  # which leads again
    pair.receive()
    assert list(first.logs.glob("*shipped*")) == []
    assert pair.history() == ([] if moment == "rename" else ["p-1"])


def test_leader_that_was_replaced_takes_nothing(pair: Pair) -> None:
    pair.log(1)
    pair.ship()
    stale = pair.epoch
    with pair.journal.database.writing() as connection:
        connection.execute(text("UPDATE leadership SET epoch = epoch + 1"))
    pair.receive()
    assert pair.history() == []
    pair.epoch = stale + 1
    pair.receive()
    assert pair.history() == ["p-1"]


def test_store_that_is_away_keeps_files_on_the_node(pair: Pair, bucket: stores.Bucket) -> None:
    pair.log(1)
    with bucket.cut(), pytest.raises(Unavailable):
        pair.ship()
    assert len(list(pair.node.logs.glob("predictions-*"))) == 1
    finish(pair)
    assert pair.history() == ["p-1"]


def test_object_that_is_lost_keeps_no_other_file_waiting(pair: Pair, bucket: stores.Bucket) -> None:
    pair.log(1)
    pair.ship()
    bucket.store.delete(bucket.names())
    pair.log(2)
    pair.ship()
    with pytest.raises(ObjectLost):
        pair.receive()
    pair.copy()
    assert pair.history() == ["p-2"]


def test_leader_knows_until_when_it_has_the_predictions_of_its_nodes(pair: Pair) -> None:
    """Not before a node has shipped its files, nor before these are in `logs/`; a silent node keeps the time back."""
    session = NodeSession(pair.url, "test")
    reports = Reports(pair.url, lambda: None)

    def look() -> float:
        shipping = LogShipping(pair.node, pair.settings, pair.store)
        report = NodeReport(
            name="one", generation=1, state=NodeState.SERVING, version=1, unshipped=shipping.unshipped()
        )
        session.report(report, news=False)
        reports._look(session)
        return reports.complete_until

    began = time.monotonic()
    assert look() >= began - 1
    pair.log(1)
    before = look()
    assert before < time.monotonic()
    logged = time.monotonic()
    pair.ship()
    assert look() < logged, "shipped, and not taken yet"
    pair.receive()
    time.sleep(0.3)
    assert look() > logged
    pair.log(2)
    held = look()
    time.sleep(0.1)
    assert look() == held
    session.close()
