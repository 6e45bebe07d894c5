"""What a node does to its disk: bundles are verified, fetched again where they are damaged, and old ones go."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bundles
import pytest
import stores

from retraind.daemon.artifacts.manifest import MANIFEST, read_manifest
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import VersionState
from retraind.daemon.nodes.node_home import NodeHome
from retraind.daemon.objects.store import ObjectDamaged, by_sha256
from retraind.daemon.records.versions import Versions
from retraind.daemon.service import serving_nodes
from retraind.daemon.stored import bundle_files

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)


class Elsewhere:
    """A leader's home whose bundles are in the bucket."""

    def __init__(self, root: Path, bucket: stores.Bucket) -> None:
        self.home, self._bucket = Home(root), bucket
        self.home.make()

    def version(self, number: int) -> Mapping[str, Any]:
        """Make and put a version; its row in the journal."""
        pointer = bundles.make(self.home, number)
        bundles.record(self.home, pointer)
        bundle_files.put(self._bucket.store, self.home.bundle(number), pointer.manifest)
        row = Versions(self.home).get(number)
        assert row is not None
        return {**row, "scores": "{}", "column_of_a_later_release": 1}

    @property
    def names(self) -> set[str]:
        """The files of the bundle of version 1."""
        row = Versions(self.home).get(1)
        assert row is not None
        return {MANIFEST, *read_manifest(self.home.bundle(1), row["bundle"]).files}


@pytest.mark.parametrize("missing", ["journal", "storage"])
def test_node_without_server_or_store_says_what_it_needs(tmp_path: Path, missing: str) -> None:
    sections: dict[str, Any] = {"journal": {"url": "postgresql+psycopg://db/x"}, "storage": {"url": "s3://bucket"}}
    settings = Settings.model_validate({"role": "node"} | sections | {missing: {}})
    with pytest.raises(BadSettings, match="needs"):
        serving_nodes.require(Home(tmp_path), settings)


def test_home_of_a_leader_becomes_no_node(elsewhere: Elsewhere) -> None:
    sections: dict[str, Any] = {"journal": {"url": "postgresql+psycopg://db/x"}, "storage": {"url": "s3://bucket"}}
    (elsewhere.home.data / ".git").mkdir()
    with pytest.raises(BadSettings, match="home of a leader"):
        serving_nodes.require(elsewhere.home, Settings.model_validate({"role": "node"} | sections))


@pytest.fixture
def elsewhere(tmp_path: Path, bucket: stores.Bucket) -> Elsewhere:
    """The leader's home."""
    return Elsewhere(tmp_path / "leader", bucket)


@pytest.fixture
def node(tmp_path: Path, bucket: stores.Bucket) -> Iterator[tuple[Home, NodeHome]]:
    """A node's home."""
    home = Home(tmp_path / "node")
    home.make()
    node = NodeHome(home, bucket.store, 1000)
    yield home, node
    node.close()


def test_activated_version_is_what_workers_follow(elsewhere: Elsewhere, node: tuple[Home, NodeHome]) -> None:
    """Pointer, version and swap are those of a home with a daemon; a second time changes nothing."""
    home, disk = node
    row = elsewhere.version(1)
    disk.prepare(1, row["bundle"])
    assert disk.served() is None
    disk.activate(1, row["bundle"], row)
    mark = home.pointer.stat().st_ino
    disk.activate(1, row["bundle"], row)
    assert disk.served() == (1, row["bundle"])
    assert home.pointer.stat().st_ino == mark
    copied = Versions(home).get(1)
    assert copied is not None
    assert copied["bundle"] == row["bundle"]


def test_served_version_and_the_one_before_stay(elsewhere: Elsewhere, node: tuple[Home, NodeHome]) -> None:
    home, disk = node
    for number in (1, 2, 3):
        row = elsewhere.version(number)
        disk.prepare(number, row["bundle"])
        disk.activate(number, row["bundle"], row)
        disk.tidy()
    assert {folder.name for folder in home.bundles.iterdir()} == {"2", "3"}
    assert [version["version"] for version in Versions(home).newest()] == [3, 2]
    assert Versions(home).aliases()["previous"] == 2


def test_held_version_is_what_workers_try(elsewhere: Elsewhere, node: tuple[Home, NodeHome]) -> None:
    """Until it is withdrawn, or served."""
    home, disk = node
    rows = {number: elsewhere.version(number) for number in (1, 2, 3)}
    disk.prepare(1, rows[1]["bundle"])
    disk.activate(1, rows[1]["bundle"], rows[1])
    for number in (2, 3):
        disk.prepare(number, rows[number]["bundle"])
        disk.hold({**rows[number], "state": VersionState.HELD})
        disk.tidy()
        assert Versions(home).aliases()["challenger"] == number
        assert {folder.name for folder in home.bundles.iterdir()} == {"1", str(number)}
        disk.withdraw()
        assert Versions(home).aliases()["challenger"] is None
    disk.hold({**rows[3], "state": VersionState.HELD})
    disk.activate(3, rows[3]["bundle"], rows[3])
    assert Versions(home).aliases() == {"challenger": None, "previous": 1}


@pytest.mark.parametrize("damage", ["cut", "gone", "manifest"])
def test_damaged_bundle_is_fetched_again(elsewhere: Elsewhere, node: tuple[Home, NodeHome], damage: str) -> None:
    home, disk = node
    row = elsewhere.version(1)
    disk.prepare(1, row["bundle"])
    for name in elsewhere.names - {MANIFEST}:
        if damage == "cut":
            (home.bundle(1) / name).write_bytes(b"{}")
        elif damage == "gone":
            (home.bundle(1) / name).unlink()
    if damage == "manifest":
        (home.bundle(1) / MANIFEST).write_bytes(b"{}")
    disk.prepare(1, row["bundle"])
    for name in elsewhere.names:
        assert (home.bundle(1) / name).read_bytes() == (elsewhere.home.bundle(1) / name).read_bytes()


def test_object_with_other_bytes_is_refused(
    elsewhere: Elsewhere, node: tuple[Home, NodeHome], bucket: stores.Bucket
) -> None:
    row = elsewhere.version(1)
    data = (elsewhere.home.bundle(1) / "model.onnx").read_bytes()
    bucket.store.put(by_sha256(durable.sha256(data)), data[:-1] + b"x")
    with pytest.raises(ObjectDamaged):
        node[1].prepare(1, row["bundle"])
    assert not (node[0].bundle(1) / "model.onnx").exists()


def test_damaged_journal_of_a_node_is_made_again(elsewhere: Elsewhere, tmp_path: Path, bucket: stores.Bucket) -> None:
    home = Home(tmp_path / "node")
    home.make()
    home.journal.write_bytes(b"no database" * 1000)
    disk = NodeHome(home, bucket.store, 1000)
    row = elsewhere.version(1)
    disk.activate(1, row["bundle"], row)
    disk.close()
    assert Versions(home).get(1) is not None
