"""Versions that outlive the machine: bundles in a real S3 server, put before the verdict, fetched and verified where they lack."""

import shutil
import time

import orjson
import pytest
import stores
from conftest import names
from promoting import Parts
from service import wait_until
from stores import Bucket

from retraind.daemon.artifacts import bundle
from retraind.daemon.cli.report import stored_objects
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote
from retraind.daemon.objects.store import by_sha256
from retraind.daemon.promotion.champion import Champion
from retraind.daemon.promotion.old_versions import OldVersions
from retraind.daemon.records.versions import Versions
from retraind.daemon.service.store_upkeep import StoreUpkeep
from retraind.daemon.storage.journal import Journal
from retraind.daemon.stored.segments import StoredSegments

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)


class Stored(Parts):
    """Versions whose bundles are put by a thread, which `settle` waits for."""

    def settle(self) -> None:
        super().settle()
        while self.promotion.stored._putting is not None:
            wait_until(lambda: self.promotion.stored.ended, 20, "a bundle to be put")
            super().settle()


@pytest.fixture
def parts(mlflow_home: Home, journal: Journal, bucket: Bucket) -> Stored:
    return Stored(mlflow_home, journal, bucket.store)


def files_of(parts: Parts, version: int) -> set[str]:
    """The objects that a version consists of."""
    row = parts.journal.versions.get(version)
    assert row is not None
    manifest = orjson.loads((parts.home.bundle(version) / bundle.MANIFEST).read_bytes())
    return {by_sha256(sha256) for sha256 in (*manifest["files"].values(), row["bundle"])}


def wipe(home: Home) -> None:
    """The disk with the bundles and the pointer is another one."""
    shutil.rmtree(home.bundles)
    home.pointer.unlink(missing_ok=True)
    home.make()


def test_bundle_is_in_the_store_before_its_version_is_judged(parts: Stored, bucket: Bucket) -> None:
    version = parts.train()
    assert not parts.promotion.judge()
    assert (parts.state(version), parts.served) == (None, None)
    parts.settle()
    assert (parts.state(version), parts.served) == ("promoted", version)
    assert files_of(parts, version) <= bucket.names()


def test_version_waits_for_the_store(parts: Stored, bucket: Bucket) -> None:
    """The served one goes on serving, and the health says what waits."""
    first = parts.champion()
    with bucket.cut():
        second = parts.train(96, 95, first, favourite=1)
        parts.settle()
        assert (parts.state(second), parts.served) == (None, first)
        assert "A new version waits for its verdict" in (parts.promotion.stored.problem or "")
        assert parts.promotion.stored.waits
    time.sleep(1.1)
    parts.settle()
    assert (parts.state(second), parts.served, parts.promotion.stored.problem) == ("promoted", second, None)
    assert files_of(parts, second) <= bucket.names()


def test_bundles_that_are_removed_come_back(parts: Stored) -> None:
    """The pointer follows the alias again, and each version can be served, as before."""
    first, second = parts.champion(), parts.champion(favourite=1)
    before = {path.name: path.read_bytes() for path in parts.home.bundle(second).iterdir()}
    wipe(parts.home)
    parts.restart()
    parts.promotion.recover()
    parts.settle()
    assert parts.served == second
    assert {path.name: path.read_bytes() for path in parts.home.bundle(second).iterdir()} == before
    assert parts.ask("rollback")[0] == "done"
    assert parts.served == first
    assert not [name for name in names(parts.home.bundles) if name.startswith(".")]


def test_version_of_a_leader_that_is_gone_gets_its_verdict(parts: Stored, bucket: Bucket) -> None:
    """It was put and not judged when the machine was lost; one that was not put is refused, and the served one stays."""
    first = parts.champion()
    second = parts.train(96, 95, first, favourite=1)
    assert not parts.promotion.judge()
    wait_until(lambda: parts.promotion.stored.ended, 20, "the bundle to be put")
    wipe(parts.home)
    parts.restart()
    parts.promotion.recover()
    parts.settle()
    assert (parts.state(second), parts.served) == ("promoted", second)
    third = parts.train(97, 96, second)
    wipe(parts.home)
    parts.restart()
    parts.promotion.recover()
    parts.settle()
    assert (parts.state(third), parts.served) == ("refused", second)


def test_outage_makes_no_version_unservable(parts: Stored, bucket: Bucket) -> None:
    """Its files are lacking here, and the store does not answer: it waits, and no other version takes its place."""
    parts.champion()
    second = parts.champion(favourite=1)
    shutil.rmtree(parts.home.bundles)
    parts.home.make()
    with bucket.cut():
        parts.restart()
        parts.promotion.recover()
        assert (parts.served, parts.state(second)) == (second, "promoted")
        began = time.monotonic()
        assert "did not answer" in parts.ask("promote", second)[1]
        assert time.monotonic() - began < 0.5, "the loop has waited for the store again"
    parts.restart()
    parts.promotion.recover()
    assert parts.served == second
    assert (parts.home.bundle(second) / bundle.MANIFEST).exists()


@pytest.mark.parametrize("what", ["manifest", "file"])
def test_damaged_object_is_not_served(parts: Stored, bucket: Bucket, what: str) -> None:
    """Whoever may write to the bucket can't have us load what the journal does not vouch for: the version before serves."""
    first, second = parts.champion(), parts.champion(favourite=1)
    row = parts.journal.versions.get(second)
    assert row is not None
    own = files_of(parts, second) - files_of(parts, first) - {by_sha256(row["bundle"])}
    bucket.store.put(by_sha256(row["bundle"]) if what == "manifest" else min(own), b"other bytes")
    wipe(parts.home)
    parts.restart()
    parts.promotion.recover()
    parts.settle()
    assert parts.state(second) == "unservable"
    assert not (parts.home.bundle(second) / bundle.MANIFEST).exists()


def test_version_whose_object_is_away_for_a_while_can_be_served_again(parts: Stored, bucket: Bucket) -> None:
    """Meanwhile it counts as removed: no part of its files is left that would look like damage."""
    first, second = parts.champion(), parts.champion(favourite=1)
    row = parts.journal.versions.get(first)
    assert row is not None
    away = min(files_of(parts, first) - files_of(parts, second) - {by_sha256(row["bundle"])})
    data = bucket.store.read(away)
    bucket.store.delete([away])
    shutil.rmtree(parts.home.bundle(first))
    parts.restart()
    parts.promotion.stored.restore(first, row["bundle"], emptied=False)
    assert bundle.cleared(parts.home.bundle(first))
    assert "are gone from here and from the object store" in parts.ask("promote", first)[1]
    bucket.store.put(away, data)
    assert parts.ask("promote", first)[0] == "done"
    assert parts.served == first


def test_objects_of_cleared_versions_go_unless_others_have_them(parts: Stored, bucket: Bucket) -> None:
    """Equal files of two versions are one object; the manifest stays, as it does here."""
    versions = [parts.champion(favourite=number % 2) for number in range(4)]
    before = {version: files_of(parts, version) for version in versions}
    rows = {version: parts.journal.versions.get(version) for version in versions}
    champion = Champion(parts.home, parts.journal, parts.models)
    old = OldVersions(
        parts.home, Promote(keep_versions=1), parts.journal, parts.models, champion, parts.promotion.stored
    )
    assert old.clear() == 2
    kept = before[versions[2]] | before[versions[3]]
    assert kept <= bucket.names()
    manifests = {by_sha256(str(rows[version]["bundle"])) for version in versions[:2] if rows[version]}  # type: ignore[index]
    assert {name for version in versions[:2] for name in before[version]} & bucket.names() <= kept | manifests
    assert manifests <= bucket.names()


def test_store_that_lost_a_file_gets_it_again(parts: Stored, bucket: Bucket) -> None:
    """Although it still has the manifest, which is put last; the doctor names the version meanwhile."""
    version = parts.champion()
    lost = min(files_of(parts, version) - {by_sha256(str(parts.journal.versions.get(version)["bundle"]))})  # type: ignore[index]
    bucket.store.delete([lost])
    judged = Versions(parts.home).newest()
    assert [row["version"] for row in judged if stored_objects._is_partial(parts.home, row, bucket.names())] == [
        version
    ]
    upkeep = StoreUpkeep(
        parts.home,
        bucket.store,
        StoredSegments(parts.home, bucket.store, parts.journal),
        parts.promotion.stored,
        parts.models,
    )
    upkeep.start()
    wait_until(lambda: upkeep.sentence == "", 20)
    upkeep.close()
    assert lost in bucket.names()
    assert not [row for row in judged if stored_objects._is_partial(parts.home, row, bucket.names())]
