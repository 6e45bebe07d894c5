"""retraind.daemon.dataset.repacking: git's objects and DVC's lists stay few, and nothing that they held is lost. Real git, DVC, SQLite."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ingesting import HEADER, Parts, grow, numbered, row
from test_dataset import none
from test_git_history import git

from retraind.daemon.core import requests
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import repacking
from retraind.daemon.dataset.checkout import check_out
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.dataset.dvc_cache import SECURED, STAMPS, Cache
from retraind.daemon.dataset.git_repository import Revision
from retraind.daemon.dataset.repacking import Repacking

BATCHES = 6


@pytest.fixture
def parts(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion with some batches, of which more than the last one is old."""
    grow(home, numbered(BATCHES), tmp_path_factory)
    monkeypatch.setattr(repacking, "KEEP_LISTS", 1)
    monkeypatch.setattr(repacking, "LOOSE", 1)
    monkeypatch.setattr(repacking, "LOOKED_AT", [f"{number:02x}" for number in range(256)])
    parts = Parts(home)
    yield parts
    parts.close()


def take(parts: Parts, length: float) -> None:
    parts.drop(f"{length}.csv", HEADER + row(length))
    parts.run()


def loose(home: Home) -> int:
    """How many loose objects there are."""
    return sum(len(names) for at, _, names in os.walk(home.data / ".git/objects") if len(Path(at).name) == 2)


def pack(packer: Repacking) -> None:
    """Step once a minute until nothing is being packed."""
    for now in range(0, 6000, 60):
        packer.step(float(now))
        if packer._process is None and now:
            return
        if packer._process is not None:
            packer._process.wait(60)


def test_objects_of_git_are_packed_beside_commits(parts: Parts) -> None:
    """Every revision stays; so does an object that nothing names any more, which a person may want back."""
    home, packer = parts.home, Repacking(parts.home, parts.journal)
    stray = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=home.data, input=b"stray", capture_output=True, check=True
    )
    revisions = git(home, "rev-list", "HEAD").split()
    assert loose(home) > 3 * BATCHES
    packer.step(0.0)
    take(parts, BATCHES + 1)
    pack(packer)
    assert loose(home) <= 4, "those of the batch that came meanwhile"
    assert git(home, "cat-file", "-p", stray.stdout.decode().strip()) == "stray"
    assert git(home, "rev-list", "HEAD").split()[1:] == revisions
    git(home, "fsck", "--strict", "--no-dangling")
    take(parts, BATCHES + 2)
    assert parts.lengths == [*range(1, BATCHES + 3)]


def test_packs_stay_few(parts: Parts) -> None:
    packer = Repacking(parts.home, parts.journal)
    for number in range(12):
        take(parts, BATCHES + 1 + number)
        packer._again_at = 0.0
        pack(packer)
    assert len(list((parts.home.data / ".git/objects/pack").glob("*.pack"))) <= 5


def test_packing_ends_with_the_daemon(parts: Parts) -> None:
    packer = Repacking(parts.home, parts.journal)
    packer.step(0.0)
    process = packer._process
    assert process is not None
    packer.close()
    assert process.poll() is not None
    assert list((parts.home.data / ".git/objects/pack").glob(".tmp*")) == []
    git(parts.home, "fsck", "--strict", "--no-dangling")


def test_history_that_can_not_be_packed_is_reported(parts: Parts) -> None:
    """At each look, until it could be packed again: it is tried an hour later, when a person may have repaired it."""
    folder = parts.home.data / ".git/objects/pack"
    folder.rmdir()
    folder.write_text("somebody's file")
    packer = Repacking(parts.home, parts.journal)
    with pytest.raises(DatasetDamaged, match="can't pack"):
        pack(packer)
    for now in (120.0, repacking.AGAIN_SECONDS + 120):
        with pytest.raises(DatasetDamaged, match="can't pack"):
            packer.step(now)
        assert (packer._process is not None) == (now > repacking.AGAIN_SECONDS)
    packer.close()
    folder.unlink()
    folder.mkdir()
    for now in (repacking.AGAIN_SECONDS + 180, 3 * repacking.AGAIN_SECONDS):
        with suppress(DatasetDamaged):
            packer.step(now)
        if packer._process is not None:
            packer._process.wait(60)
    packer.step(3 * repacking.AGAIN_SECONDS + 60)
    assert loose(parts.home) == 0


def test_lists_of_old_revisions_go_and_come_again(parts: Parts, tmp_path: Path) -> None:
    """But for those of a training: these can be checked out by DVC alone."""
    home, journal, cache = parts.home, parts.journal, Cache(parts.home.data)
    batches = journal.batches.all()
    journal.runs.start("test", str(batches[1]["revision"]), str(batches[1]["dvc_md5"]), 2)
    with_lists = [one["seq"] for one in batches if cache.has(str(one["dvc_md5"]))]
    assert with_lists == [*range(1, BATCHES + 1)]
    packer = Repacking(home, journal)
    for _ in range(3):
        packer.step(0.0)
    packer.close()
    assert [one["seq"] for one in batches if cache.has(str(one["dvc_md5"]))] == [2, BATCHES]
    for batch in batches:
        scratch = Home(tmp_path / str(batch["seq"]))
        scratch.make()
        checkout = check_out(home, scratch, Revision(str(batch["revision"]), str(batch["dvc_md5"])))
        assert len(checkout) == batch["seq"]
    take(parts, BATCHES + 1)
    assert parts.lengths == [*range(1, BATCHES + 2)]


def test_list_that_forgetting_brings_back_stays(parts: Parts) -> None:
    """The newest revision has the same segments as an older one, and so the same list."""
    parts.drop("wrong.csv", HEADER + row(99))
    parts.run()
    [drop] = parts.journal.drops.of_batch(BATCHES + 1)
    requests.submit(parts.home, "forget", drop=drop["sha256"])
    parts.run()
    batches = parts.journal.batches.all()
    assert batches[-1]["dvc_md5"] == batches[-3]["dvc_md5"]
    Repacking(parts.home, parts.journal)._remove_lists()
    assert Cache(parts.home.data).has(str(batches[-1]["dvc_md5"]))


def test_durable_objects_are_marked_without_a_file_of_their_own(parts: Parts) -> None:
    """A mark goes with the first write, so that a damaged object is no longer taken for durable."""
    cache, md5 = Cache(parts.home.data), next(iter(parts.journal.segments.current()))["md5"]
    assert not (parts.home.data / STAMPS).exists()
    assert {path.stat().st_mtime_ns for path in objects(parts.home)} == {SECURED}
    cache.path(md5).chmod(0o644)
    cache.path(md5).write_bytes(b"torn")
    assert list(cache.implausible()) == [cache.path(md5)]
    with pytest.raises(DatasetDamaged):
        cache.make_durable(md5)


def test_stamps_of_before_become_marks(parts: Parts) -> None:
    home, segments = parts.home, {one["name"]: one["md5"] for one in parts.journal.segments.current()}
    stamped = [path.parent.name + path.name for path in objects(home)]
    unstamped = stamped.pop()
    (home.data / STAMPS).mkdir()
    for path in objects(home):
        os.utime(path)
    for name in [*stamped, "0" * 32]:
        (home.data / STAMPS / name).touch()
    parts.close()
    dataset = Dataset(home)
    dataset.open(segments, none)
    dataset.close()
    assert not (home.data / STAMPS).exists()
    assert [path for path in objects(home) if path.stat().st_mtime_ns != SECURED] == [Cache(home.data).path(unstamped)]


def objects(home: Home) -> list[Path]:
    """The objects in DVC's cache."""
    return sorted(path for path in (home.data / ".dvc/cache/files/md5").rglob("*") if path.is_file())
