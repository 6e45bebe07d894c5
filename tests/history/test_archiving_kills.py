"""retraind.daemon.history: each logged line is in one file, or still in its log, however often the daemon is killed."""

import os
import random
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import duckdb
import forks
import pytest
import stores
from archives import SETTINGS, Archives, build_here, entry, ids_in_files, opened, trained, write_log

from retraind.daemon.core import clock
from retraind.daemon.core.clock import Reading
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Storage
from retraind.daemon.history import archiving
from retraind.daemon.history.archiving import Archiver
from retraind.daemon.objects.opening import open_store
from retraind.daemon.records.search import history_files

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)

ROUNDS, LOGS = 12, 4


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    with opened(home) as archives:
        trained(archives, 1)
    return home


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """So kills also hit the other steps than the start of a process."""
    monkeypatch.setattr(archiving, "_built", build_here)


def archive_always(home: Home, ready: int, settings: Storage | None = None) -> None:
    with opened(home, None if settings is None else open_store(settings)) as archives:
        os.write(ready, b"x")
        while True:
            archives.copier.copy()
            archives.archiver.step(time.monotonic())


def killed_always(home: Home, settings: Storage | None = None) -> list[str]:
    """Log and archive, with kills at random moments; returns the ids in their order."""
    chance, ids = random.Random(7), list[str]()
    for number in range(ROUNDS):
        for log in range(LOGS):
            entries = [entry(len(ids) + one) for one in range(50)]
            write_log(home, entries, number * LOGS + log)
            ids += [one["prediction_id"] for one in entries]
        waiting, ready = os.pipe()
        daemon = forks.start(partial(archive_always, home, ready, settings))
        assert os.read(waiting, 1) == b"x"
        time.sleep(chance.uniform(0.01, 0.3))
        os.kill(daemon, signal.SIGKILL)
        assert forks.end(daemon) == -signal.SIGKILL
        os.close(waiting)
        os.close(ready)
        assert max(Counter(ids_in_files(home)).values(), default=1) == 1, "what others read has nothing twice"
    return ids


def test_killed_at_any_moment_each_line_is_in_one_file(home: Home) -> None:
    ids = killed_always(home)
    with opened(home) as archives:
        archives.work()
        rows = archives.by_ids(ids)
        assert archives.journal.history_files.leftovers() == []
    assert list(home.logs.glob("*.jsonl")) == []
    assert ids_in_files(home) == sorted(ids)
    assert sorted(row["seq"] for row in rows.values()) == list(range(1, len(ids) + 1))
    assert len(history_files.all_files(home.journal)) > ROUNDS, "kills left some work done"


def test_the_same_with_an_object_store(home: Home, bucket: stores.Bucket, tmp_path: Path) -> None:
    ids = killed_always(home, bucket.settings)
    with opened(home, bucket.store) as archives:
        archives.work()
        rows = archives.by_ids(ids)
    assert sorted(rows) == sorted(ids)
    files = {file["object"]: file for file in history_files.all_files(home.journal)}
    assert {one.name for one in bucket.store.listing("predictions/")} == files.keys(), "none is left without an entry"
    for name, file in files.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        bucket.store.get(name, tmp_path / "copy" / name, file["sha256"])
    query = (
        f"SELECT COUNT(*), COUNT(DISTINCT prediction_id) FROM read_parquet('{tmp_path}/copy/predictions/*/*.parquet')"
    )
    assert duckdb.sql(query).fetchall() == [(len(ids), len(ids))]


def test_a_file_that_a_replaced_leader_puts_too_late_goes_a_day_later(home: Home, bucket: stores.Bucket) -> None:
    write_log(home, [entry(number) for number in range(10)])
    with opened(home, bucket.store) as before, opened(home, bucket.store) as after:
        before.place.make()
        before.copier.copy()
        (late,) = build_here(home, before.copier.complete)
        kept = before.place.hidden(late).rename(home.root / "late.parquet")
        before.journal.history_files.expect([late["object"]])
        write_log(home, [entry(number) for number in range(10, 20)], 1)
        after.work()  # it removes leftovers first, and its own files have other rows
        bucket.store.put(late["object"], kept)
        names = {one["object"] for one in history_files.all_files(home.journal)}
        assert {one.name for one in bucket.store.listing("predictions/")} == {*names, late["object"]}
        for later, left in ((0.9, {*names, late["object"]}), (1.1, names)):
            step_later(after, later)
            assert {one.name for one in bucket.store.listing("predictions/")} == left
        ids = [entry(number)["prediction_id"] for number in range(20)]
        assert sorted(after.by_ids(ids)) == sorted(ids)


def step_later(archives: Archives, days: float) -> None:
    """A step of an archiver that is started so many days later."""
    reading = Reading(time.time() + days * clock.DAY, 0.0)
    archiver = Archiver(archives.home, SETTINGS, archives.journal, archives.place, archives.copier, lambda: reading)
    archiver.step(0.0)
    archiver.close()
