"""retraind.daemon.ingest.ingestion and retraind.daemon.dataset.dataset: what a restart would repair, a running daemon repairs itself. Real git, DVC, SQLite."""

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from conftest import names
from ingesting import HEADER, Parts, row

from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.schema import schema as schema_module
from retraind.daemon.schema.schema import Schema

pytestmark = pytest.mark.engines(full=True)


@pytest.fixture
def parts(home: Home, schema: Schema) -> Iterator[Parts]:
    """An ingestion with one batch."""
    assert schema
    parts = Parts(home)
    take(parts, 1)
    yield parts
    parts.close()


def take(parts: Parts, length: float) -> None:
    """Drop a file with one row and have it taken."""
    parts.drop("a.csv", HEADER + row(length))
    parts.run()


def accept(parts: Parts, length: float) -> None:
    """Drop a file with one row and have it taken, but not committed."""
    parts.drop("a.csv", HEADER + row(length))
    while parts.journal.batches.uncommitted() is None:
        assert parts.ingestion.step(100.0)


def lock_git(home: Home) -> None:
    (home.data / ".git/index.lock").touch()


def damage_lock_of_dvc(home: Home) -> None:
    (home.data / ".dvc/tmp/rwlock").write_text("{")


def remove_segment(home: Home) -> None:
    [path] = home.segments.iterdir()
    path.unlink()


def tear_pointer(home: Home) -> None:
    (home.data / "dataset.dvc").write_bytes(b"outs:\n- m")


@pytest.mark.parametrize("harm", [lock_git, damage_lock_of_dvc, remove_segment, tear_pointer])
def test_running_daemon_mends_its_repository(parts: Parts, harm: Callable[[Home], None]) -> None:
    """What killed programs and people leave in data/ costs no batch and needs no restart."""
    harm(parts.home)
    take(parts, 2)
    assert parts.lengths == [1, 2]
    assert parts.waiting == []
    assert parts.dataset.folder.verify({one["name"]: one["sha256"] for one in parts.journal.segments.current()}) == []
    shown = subprocess.run(["git", "status", "--porcelain"], cwd=parts.home.data, capture_output=True, check=True)
    assert shown.stdout == b""


def test_schema_that_is_gone_before_the_commit_comes_back(parts: Parts, schema: Schema) -> None:
    """It is part of every revision: that of the last one is taken."""
    accept(parts, 2)
    parts.home.schema.unlink()
    parts.run()
    assert parts.journal.batches.uncommitted() is None
    assert schema_module.load(parts.home.schema) == schema
    assert parts.lengths == [1, 2]


def test_what_can_not_be_repaired_is_reported_each_time(parts: Parts) -> None:
    """A segment that neither the folder nor the cache has: nothing is committed, and nothing is made up."""
    [segment] = parts.journal.segments.current()
    remove_segment(parts.home)
    cached = parts.home.data / ".dvc/cache/files/md5" / segment["md5"][:2] / segment["md5"][2:]
    cached.unlink()
    accept(parts, 2)
    for _ in range(2):
        with pytest.raises(DatasetDamaged):
            parts.run()
    assert segment["name"] not in names(parts.home.segments)
    assert os.listdir(parts.home.inbox) != ["rejected"], "the drop waits"
