"""What leaves the object store: purged rows with all their versions, and objects that no entry names."""

from datetime import timedelta

import pytest
import stores
from forgetting import answer, forget, text
from ingesting import Killed, Parts
from stores import Bucket, durable_md5, lost

from retraind.daemon.core import durable
from retraind.daemon.dataset.dvc_cache import places
from retraind.daemon.ingest.erasure import traces
from retraind.daemon.objects.store import by_md5
from retraind.daemon.records import segments as recorded

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)
parts = pytest.fixture(stores.parts)


def traces_of(parts: Parts, bucket: Bucket, length: float) -> str:
    """The places in the store that `retraind forget --find` names."""
    drop = parts.journal.drops.taken(durable.sha256(text(length).encode()))
    assert drop is not None
    return " ".join(one.where for one in traces.find(parts.home, parts.journal, drop, bucket.store))


def test_purge_leaves_no_version_of_the_rows_in_the_store(parts: Parts, bucket: Bucket) -> None:
    """The bucket keeps versions; a loss of the disk comes between the rows and their purge, and rejected copies go, too."""
    bucket.keep_versions()
    for number in (1, 2):
        parts.drop(f"{number}.csv", text(float(number)))
        parts.run()
    first = next(row for row in recorded.ever(parts.home.journal) if row["born"] == 1)
    assert by_md5(first["md5"]) in traces_of(parts, bucket, 1.0)
    request = forget(parts, 1.0, purge=True)
    parts.run()
    assert answer(parts, request)[0] == "done"
    assert by_md5(first["md5"]) not in traces_of(parts, bucket, 1.0)
    assert not [key for key in bucket.versions() if by_md5(first["md5"]) in key]
    assert parts.lengths == [2.0]
    assert list(parts.dataset.stored.put_missing(recorded.ever(parts.home.journal), places(parts.home))) == [
        first["name"]
    ]
    assert by_md5(first["md5"]) not in bucket.names()


def test_purge_waits_for_the_store(parts: Parts, bucket: Bucket) -> None:
    """Nothing is claimed that was not done."""
    for number in (1, 2):
        parts.drop(f"{number}.csv", text(float(number)))
        parts.run()
    request = forget(parts, 1.0)
    parts.run()
    request = forget(parts, 1.0, purge=True)
    with bucket.cut():
        parts.run()
        assert "did not answer" in (parts.ingestion.forgetting.problem or "")
        assert answer(parts, request)[0] == "queued"
    parts.now += 60
    parts.run()
    assert answer(parts, request)[0] == "done"


def test_object_that_no_entry_names_goes_after_a_day(
    parts: Parts, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was put, the process ended, and a person took the drop away. What the journal names stays whatever its age."""
    parts.drop("a.csv", text(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(parts.journal.batches, "accept", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            parts.run()
    [left] = [name for name in bucket.names() if name.startswith("files/md5/")]
    assert parts.dataset.stored.sweep(timedelta(0)) == 0, "its batch is still under way"
    (parts.home.inbox / "a.csv").unlink()
    parts.reopen()
    assert parts.dataset.stored.sweep() == 0
    assert left in bucket.names()
    parts.drop("b.csv", text(2.0))
    parts.run()
    parts.reopen()
    assert parts.dataset.stored.sweep(timedelta(0)) == 1
    assert left not in bucket.names()
    assert lost(parts, bucket) == []


def test_purge_spares_what_is_under_way(parts: Parts, bucket: Bucket) -> None:
    """While a merge is put, a batch may be put, or a drop may be forgotten, and what is left over goes at once with it."""
    stored = parts.dataset.stored
    merging, other = parts.home.root / "merging", parts.home.root / "other"
    merging.write_bytes(b"merging")
    other.write_bytes(b"other")
    names = {path: by_md5(durable_md5(path)) for path in (merging, other)}
    steps = stored.put("merging.parquet", durable_md5(merging), merging)
    next(steps, None)
    stored.put_now("other.parquet", durable_md5(other), other)
    stored.purge([])
    list(steps)
    assert bucket.names() >= set(names.values())
    stored.abandon("other.parquet", durable_md5(other))
    assert names[other] not in bucket.names()
    parts.reopen()
    parts.dataset.stored.purge([])
    assert names[merging] not in bucket.names()
