"""Rows that outlive the machine: segments in a real S3 server, with kills, outages and folders that are removed."""

import shutil
import time

import pytest
import stores
from conftest import names
from forgetting import checked_out, text
from ingesting import Killed, Parts, grow, numbered
from stores import Bucket, lost, wipe

from retraind.daemon.core import durable
from retraind.daemon.core.errors import NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.dataset.dvc_cache import places
from retraind.daemon.dataset.git_repository import Revision
from retraind.daemon.objects.store import by_md5
from retraind.daemon.records import segments as recorded
from retraind.daemon.schema.schema import Schema
from retraind.daemon.stored import segments as stored_segments
from retraind.daemon.stored.segments import StoredSegments

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)
parts = pytest.fixture(stores.parts)


def test_segment_is_in_the_store_before_the_journal_names_it(
    parts: Parts, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends right before the batch is recorded: the object is there, the drop too, and is taken once."""
    parts.drop("a.csv", text(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(parts.journal.batches, "accept", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            parts.run()
    assert len([name for name in bucket.names() if name.startswith("files/md5/")]) == 1
    assert recorded.ever(parts.home.journal) == []
    assert parts.waiting == ["a.csv"]
    parts.reopen()
    parts.run()
    assert (parts.lengths, lost(parts, bucket)) == ([1.0], [])


def test_outage_keeps_drops_in_the_inbox_and_says_so(parts: Parts, bucket: Bucket) -> None:
    """Nothing is recorded and no file is left; bad rows and repeated drops wait as well; afterwards each counts once."""
    parts.drop("a.csv", text(1.0))
    parts.run()
    with bucket.cut():
        parts.drop("b.csv", text(2.0) + "wrong\n")
        parts.drop("c.csv", text(1.0))
        parts.run()
        assert parts.waiting == ["b.csv", "c.csv"]
        assert parts.drops() == [("a.csv", "accepted")]
        assert names(parts.home.rejected) == []
        assert not [name for name in names(parts.home.data) if name.startswith(durable.MARK)]
        problem = parts.dataset.stored.problem or ""
        assert "did not answer: put files/md5/" in problem
        assert problem.endswith("predictions continue. It is tried again in 1 s.")
        assert not parts.dataset.stored.ready(time.monotonic())
    time.sleep(1.1)
    parts.run()
    assert parts.dataset.stored.problem is None
    assert (parts.lengths, parts.waiting) == ([1.0, 2.0], [])
    assert sorted(parts.drops()) == [("a.csv", "accepted"), ("b.csv", "accepted"), ("c.csv", "duplicate")]


@pytest.mark.slow
def test_pauses_grow_and_end(bucket: Bucket, parts: Parts) -> None:
    """One second, two, four; the first success ends them."""
    parts.drop("a.csv", text(1.0))
    said = []
    with bucket.cut():
        for pause in (1, 2):
            parts.run()
            said.append((parts.dataset.stored.problem or "").rpartition(" in ")[2])
            time.sleep(pause + 0.05)
    parts.run()
    assert said == ["1 s.", "2 s."]
    assert parts.lengths == [1.0]


def test_data_that_is_removed_comes_back(parts: Parts, bucket: Bucket) -> None:
    """Segments, schema, DVC's objects and git's history; then the home goes on, and an earlier revision can be checked out."""
    for number in (1, 2, 3):
        parts.drop(f"{number}.csv", text(float(number)))
        parts.run()
    schema = parts.home.schema.read_bytes()
    batch = parts.journal.batches.all()[1]
    parts.close()
    wipe(parts.home)
    parts.open()
    assert parts.lengths == [1.0, 2.0, 3.0]
    assert parts.home.schema.read_bytes() == schema
    parts.drop("4.csv", text(4.0))
    parts.run()
    assert (parts.lengths, lost(parts, bucket)) == ([1.0, 2.0, 3.0, 4.0], [])
    assert checked_out(parts.home, Revision(str(batch["revision"]), str(batch["dvc_md5"]))) == [1.0, 2.0]


def test_segments_that_vanish_while_it_runs_come_back(parts: Parts) -> None:
    """Neither DVC nor data/orphans has them; the round that looks after data/ fetches them, several at a time."""
    for number in range(12):
        parts.drop(f"{number}.csv", text(float(number)))
        parts.run()
    for path in (*parts.home.segments.iterdir(), *(parts.home.data / ".dvc/cache/files/md5").glob("*/*")):
        path.unlink()
    parts.ingestion.upkeep.look(1000.0)
    assert parts.lengths == [float(number) for number in range(12)]
    assert parts.dataset.damage({one["name"]: one["md5"] for one in parts.journal.segments.current()}) is None


def test_start_during_an_outage_waits_for_what_is_missing(parts: Parts, bucket: Bucket) -> None:
    """Without a further start, segments and schema come when the store is back, and drops are taken again."""
    parts.drop("a.csv", text(1.0))
    parts.run()
    parts.close()
    wipe(parts.home)
    with bucket.cut():
        parts.open()
        assert names(parts.home.segments) == []
        assert not parts.home.schema.exists()
        assert "did not answer" in (parts.dataset.stored.problem or "")
    time.sleep(1.1)
    parts.dataset.stored.tend(time.monotonic())
    assert parts.home.schema.exists()
    parts.ingestion.upkeep.look(1000.0)
    assert (parts.lengths, parts.dataset.stored.problem) == ([1.0], None)
    parts.drop("b.csv", text(2.0))
    parts.run()
    assert parts.lengths == [1.0, 2.0]


def test_damaged_object_is_not_used(parts: Parts, bucket: Bucket) -> None:
    parts.drop("a.csv", text(1.0))
    parts.run()
    [segment] = parts.journal.segments.current()
    parts.close()
    wipe(parts.home)
    bucket.store.put(by_md5(segment["md5"]), b"other bytes")
    parts.open()
    assert names(parts.home.segments) == []


def test_merged_segment_is_put_and_its_sources_stay(
    home: Home, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Earlier revisions need them; after a loss of the disk the present one comes back, and no row twice."""
    grow(home, numbered(16), tmp_path_factory)
    parts = Parts(home, store=bucket.store)
    parts.run()
    assert len(parts.journal.segments.current()) == 1
    [merged] = parts.journal.segments.current()
    assert by_md5(merged["md5"]) in bucket.names()
    for _ in parts.dataset.stored.put_missing(recorded.ever(home.journal), places(home)):
        pass
    assert lost(parts, bucket) == []
    parts.close()
    wipe(home)
    parts.open()
    assert parts.lengths == [float(number) for number in range(1, 17)]
    early = parts.journal.batches.all()[2]
    revision = Revision(str(early["revision"]), str(early["dvc_md5"]))
    with pytest.raises(NotFound, match="3 segments of revision"):
        checked_out(home, revision)
    shutil.rmtree(home.root / "scratch")
    assert checked_out(home, revision, bucket.store) == [1.0, 2.0, 3.0]
    parts.close()


def test_merge_waits_for_the_store(home: Home, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Drops and merges wait, and no file is left behind."""
    grow(home, numbered(16), tmp_path_factory)
    parts = Parts(home, store=bucket.store)
    with bucket.cut():
        parts.run()
        assert len(parts.journal.segments.current()) == 16
        assert not [name for name in names(home.data) if name.startswith(durable.MARK)]
    parts.now += 60
    parts.run()
    assert len(parts.journal.segments.current()) == 1
    parts.close()


def test_store_that_is_set_up_later_gets_what_there_is(home: Home, schema: Schema, bucket: Bucket) -> None:
    assert schema
    parts = Parts(home)
    for number in (1, 2):
        parts.drop(f"{number}.csv", text(float(number)))
        parts.run()
    parts.store = bucket.store
    parts.reopen()
    assert len(list(parts.dataset.stored.put_missing(recorded.ever(home.journal), places(home)))) == 2
    assert lost(parts, bucket) == []
    assert list(parts.dataset.stored.put_missing(recorded.ever(home.journal), places(home))) == []
    parts.close()


def test_without_a_store_nothing_is_noted(home: Home, schema: Schema) -> None:
    assert schema
    parts = Parts(home)
    parts.drop("a.csv", text(1.0))
    parts.run()
    assert parts.journal.key_values.get(stored_segments.UNNAMED) is None
    assert StoredSegments(home).problem is None
    parts.close()
