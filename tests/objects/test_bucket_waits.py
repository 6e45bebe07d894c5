"""Objects of a bucket that wait: for a person, for a right, for an archive; others are taken meanwhile."""

import bucket_inboxes
import pytest
import stores
from bucket_inboxes import BucketParts, hold, text

from retraind.daemon.core import durable, requests
from retraind.daemon.core.states import Hold
from retraind.daemon.inbox.bucket import courier
from retraind.daemon.records.drops import decided, held
from retraind.daemon.tabular import file_content

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)
parts = pytest.fixture(bucket_inboxes.parts)


def test_held_object_waits_in_the_bucket_until_it_is_accepted(parts: BucketParts) -> None:
    """Also over a restart, whose first looks come before the bucket is listed."""
    sha256 = hold(parts, "held.csv", text(1.0))
    parts.put("held.csv", text(1.0))
    parts.put("a.csv", text(2.0))
    parts.take()
    assert (parts.lengths, parts.keys) == ([2.0], ["held.csv"])
    parts.reopen()
    parts.run()
    assert [row["sha256"] for row in held.held(parts.home.journal, 9)] == [sha256]
    parts.take()
    requests.submit(parts.home, "accept", drop=sha256)
    parts.take()
    assert (parts.lengths, parts.keys, parts.journal.held.all()) == ([1.0, 2.0], [], [])


def test_held_object_that_is_removed_or_replaced_waits_no_more(parts: BucketParts) -> None:
    """As a file would not; its successor is read."""
    for number, name in enumerate(("removed.csv", "replaced.csv")):
        hold(parts, name, text(number))
        parts.put(name, text(number))
    parts.take()
    assert [row["state"] for row in parts.journal.held.all()] == [Hold.WAITING] * 2
    parts.client.delete_object(Bucket=parts.bucket.name, Key="drops/removed.csv")
    parts.put("replaced.csv", text(7.0))
    parts.take()
    parts.take()
    assert (parts.lengths, parts.keys, parts.journal.held.all()) == ([7.0], [], [])


def test_object_that_cannot_be_read_delays_no_other(parts: BucketParts) -> None:
    """One in an archive: it is named, and taken once it is another one."""
    parts.client.put_object(
        Bucket=parts.bucket.name, Key="drops/old.csv", Body=text(1.0).encode(), StorageClass="GLACIER"
    )
    parts.put("a.csv", text(2.0))
    parts.take()
    assert parts.lengths == [2.0]
    assert "1 object can't be read, first old.csv:" in str(parts.courier.objection)
    assert "InvalidObjectState" in str(parts.courier.objection)
    parts.put("old.csv", text(1.0) + "\n")
    parts.take()
    assert (parts.lengths, parts.keys, parts.courier.objection) == ([1.0, 2.0], [], None)


def test_object_that_cannot_be_deleted_counts_once(parts: BucketParts, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, over a restart, too; too many of them stop the taking, because their list grows."""
    locked = f"{parts.bucket.name}-locked"
    parts.client.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    parts.bucket.name = locked
    parts = BucketParts(parts.home, parts.bucket)
    parts.client.put_object(
        Bucket=locked,
        Key="drops/a.csv",
        Body=text(1.0).encode(),
        ObjectLockLegalHoldStatus="ON",
        ChecksumAlgorithm="CRC32",
    )
    parts.take()
    parts.reopen()
    parts.take()
    assert (parts.lengths, parts.keys, len(parts.leaving), len(parts.drops())) == ([1.0], ["a.csv"], 1, 1)
    assert "1 object can't be deleted after they were taken, first s3://" in str(parts.courier.objection)
    monkeypatch.setattr(courier, "MOST_UNDELETABLE", 1)
    parts.put("b.csv", text(2.0))
    parts.take()
    assert parts.lengths == [1.0]
    parts.client.put_object_legal_hold(Bucket=locked, Key="drops/a.csv", LegalHold={"Status": "OFF"})
    parts.take()
    parts.take()
    assert (parts.lengths, parts.keys, parts.leaving, parts.courier.objection) == ([1.0, 2.0], [], [], None)
    parts.close()


def test_only_so_many_objects_are_fetched_ahead(parts: BucketParts) -> None:
    """As two batches hold; the next follow as these leave, and one larger than that is fetched alone."""
    parts.close()
    small = BucketParts(parts.home, parts.bucket, batch_drops=2, batch_bytes=600, scan_seconds=0.05)
    for number in range(5):
        small.put(f"{number}.csv", text(number))
    small.put("large.csv", text(*range(10, 60)))
    small.round()
    assert 2 <= len(small.courier._shelf.stamps()) <= 4
    for _ in range(4):
        small.take()
    assert (len(small.lengths), small.keys) == (55, [])
    small.close()
    parts.open()


def test_large_object_is_read_where_it_was_fetched(parts: BucketParts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hash is that of its bytes, which are not copied; the same bytes in a file are a duplicate."""
    monkeypatch.setattr(file_content, "SMALL_BYTES", 1000)
    content = text(*range(100))
    parts.put("large.csv", content)
    parts.put("small.csv", text(200.0))
    parts.take()
    parts.drop("copy.csv", content)
    parts.take()
    assert (len(parts.lengths), parts.keys) == (101, [])
    [large] = [row for row in decided.newest(parts.home.journal, 9) if row["name"].endswith("large.csv")]
    assert large["sha256"] == durable.sha256(content.encode())
    assert parts.drops()[-1] == ("copy.csv", "duplicate")
