"""retraind.daemon.history, retraind.daemon.nodes: each line that a node logs is in one file, however often node and leader are killed."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import forks
import pyarrow.parquet as pq
import pytest
import stores
from archives import SETTINGS, Archives, build_here, entry, opened, trained, write_log

from benchmarks.postgres import Postgres
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.settings import Settings, Storage
from retraind.daemon.history import archiving
from retraind.daemon.nodes.log_receiving import LogReceiving
from retraind.daemon.nodes.log_shipping import LogShipping
from retraind.daemon.objects.opening import open_store
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.records.search import history_files
from retraind.daemon.storage.server import node_rows

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)

LOGS, LINES = 3, 20


class Pair:
    """A node, and its leader whose old predictions become files in the bucket."""

    def __init__(self, folder: Path, url: str, storage: Storage) -> None:
        self.node, self.leader, self.url, self.storage = Home(folder / "node"), Home(folder / "leader"), url, storage
        self.node.make()
        self.leader.make()
        journal_server.settle(self.leader, url)
        self.of_node = Settings.model_validate(
            {"role": "node", "journal": {"url": url}, "storage": storage.model_dump(), "node": {"name": "one"}}
        )

    def store(self) -> ObjectStore:
        """A new connection to the bucket."""
        store = open_store(self.storage)
        assert store is not None
        return store

    def ship_always(self, ready: int) -> None:
        """The node's part, until it is killed."""
        shipping = LogShipping(self.node, self.of_node, self.store())
        os.write(ready, b"x")
        while True:
            shipping.ship()

    def archive_always(self, ready: int) -> None:
        """The leader's part, until it is killed."""
        with opened(self.leader, self.store(), SETTINGS) as archives:
            receiving, epoch = self.receiving(archives)
            os.write(ready, b"x")
            while True:
                receiving.receive(epoch)
                archives.copier.copy()
                archives.archiver.step(time.monotonic())

    def receiving(self, archives: Archives) -> tuple[LogReceiving, int]:
        """What takes shipped logs, and the epoch of this leadership."""
        with archives.journal.database.writing() as connection:
            epoch = node_rows.lead(connection, "here").epoch
        return LogReceiving(self.leader, self.url, self.store(), lambda: epoch), epoch


def killed_meanwhile(parts: list[Callable[[int], None]], seconds: float) -> None:
    """Do the parts in processes of their own, and kill these at a moment after all have begun."""
    waiting, ready = os.pipe()
    pids = [forks.start(partial(part, ready)) for part in parts]
    for _ in pids:
        assert os.read(waiting, 1) == b"x"
    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        assert forks.end(pid) == -signal.SIGKILL
    os.close(waiting)
    os.close(ready)


def in_files(pair: Pair, folder: Path) -> list[str]:
    """The ids in all files of the bucket."""
    folder.mkdir()
    store, ids = pair.store(), list[str]()
    for number, one in enumerate(store.listing("predictions/")):
        (folder / str(number)).write_bytes(store.read(one.name))
        ids += pq.read_table(folder / str(number))["prediction_id"].to_pylist()
    return ids


@pytest.mark.parametrize("rounds", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_node_and_leader_are_killed_while_logs_are_fetched_and_archived(
    tmp_path: Path, postgres: Postgres, bucket: stores.Bucket, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    monkeypatch.setattr(archiving, "_built", build_here)
    pair, chance, ids = Pair(tmp_path, postgres.url(), bucket.settings), random.Random(3), list[str]()
    with opened(pair.leader, pair.store()) as archives:
        trained(archives, 1)
        pair.receiving(archives)  # no node ships before a leader has started
    for number in range(rounds):
        for log in range(LOGS):
            entries = [entry(len(ids) + line) for line in range(LINES)]
            write_log(pair.node, entries, number * LOGS + log)
            ids += [one["prediction_id"] for one in entries]
        killed_meanwhile([pair.ship_always, pair.archive_always], chance.uniform(0.01, 0.3))
    LogShipping(pair.node, pair.of_node, pair.store()).ship()
    with opened(pair.leader, pair.store()) as archives:
        receiving, epoch = pair.receiving(archives)
        receiving.receive(epoch)
        archives.work()
        assert archives.journal.history_files.leftovers() == []
        recorded = {file["object"] for file in history_files.all_files(pair.leader.journal)}
    assert bucket.names() == recorded, "no log is left in the store, and no file without an entry"
    counts = Counter(in_files(pair, tmp_path / "copy"))
    assert sorted(counts) == sorted(ids)
    assert max(counts.values()) == 1
    assert [path for home in (pair.node, pair.leader) for path in home.logs.glob("*.jsonl")] == []
