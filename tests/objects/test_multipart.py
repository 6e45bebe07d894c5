"""retraind.daemon.objects.multipart: large files in parts. A real S3 server, cut off in the middle."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stores
from botocore.exceptions import ReadTimeoutError
from service import wait_until
from stores import Bucket

from retraind.daemon.core import durable
from retraind.daemon.objects import background, multipart
from retraind.daemon.objects.store import StoreUnavailable, by_sha256

server = pytest.fixture(scope="module")(stores.server)


@pytest.fixture
def bucket(server: Any) -> Iterator[Bucket]:
    """A bucket with more time for an answer: moto copies all parts when it joins them."""
    bucket = Bucket(server, seconds=20.0)
    yield bucket
    bucket.link.close()


NAME = by_sha256("ab" * 32)

MEGA = 1 << 20


@pytest.fixture
def parted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files beyond 5 MiB are put in parts of that size, the smallest that servers take."""
    monkeypatch.setattr(multipart, "SINGLE_BYTES", 5 * MEGA)
    monkeypatch.setattr(multipart, "PART_BYTES", 5 * MEGA)


def uploads(bucket: Bucket) -> list[str]:
    """The unfinished puts in the server."""
    answer = bucket.client.list_multipart_uploads(Bucket=bucket.name)
    return [one["Key"] for one in answer.get("Uploads", ())]


@pytest.mark.usefixtures("parted")
@pytest.mark.parametrize(("size", "parts"), [(5 * MEGA, ""), (5 * MEGA + 1, "2"), (11 * MEGA, "3"), (15 * MEGA, "3")])
def test_large_file_is_put_in_parts(bucket: Bucket, tmp_path: Path, size: int, parts: str) -> None:
    """It is one object with the same bytes, also if it is put twice."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(random.Random(size).randbytes(size))
    sha256 = durable.sha256_file(source)
    for _ in range(2):
        bucket.store.put(by_sha256(sha256), source)
    key = f"home/{by_sha256(sha256)}"
    etag = bucket.client.head_object(Bucket=bucket.name, Key=key)["ETag"].strip('"')
    assert etag.partition("-")[2] == parts
    bucket.direct().get(by_sha256(sha256), target, sha256)
    assert target.stat().st_size == size
    assert uploads(bucket) == []


@pytest.mark.usefixtures("parted")
def test_put_in_parts_that_fails_leaves_nothing(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails in the middle."""
    source = tmp_path / "source"
    source.write_bytes(bytes(11 * MEGA))
    pieces = multipart.pieces

    def broken(path: Path) -> Iterator[bytes]:
        yield next(pieces(path))
        raise OSError("the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(multipart, "pieces", broken)
        with pytest.raises(OSError, match="the disk fails"):
            bucket.store.put(NAME, source)
    assert (uploads(bucket), bucket.names()) == ([], set())


@pytest.mark.usefixtures("parted")
def test_answer_that_comes_too_late_does_not_matter(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts were joined, so the object is there; where it is not, the put has failed."""
    source = tmp_path / "source"
    source.write_bytes(bytes(6 * MEGA))
    complete = bucket.client.complete_multipart_upload

    def late(**values: Any) -> None:
        complete(**values)
        raise ReadTimeoutError(endpoint_url=bucket.server.endpoint)

    monkeypatch.setattr(bucket.client, "complete_multipart_upload", late)
    bucket.store.put(NAME, source)
    assert bucket.store.has(NAME)
    monkeypatch.setattr(
        bucket.client, "complete_multipart_upload", lambda **values: complete(**values | {"UploadId": "x"})
    )
    with pytest.raises(StoreUnavailable, match="refused: put"):
        bucket.store.put(by_sha256("cd" * 32), source)


@pytest.mark.usefixtures("parted")
def test_parts_that_a_killed_process_left_are_removed(bucket: Bucket, tmp_path: Path) -> None:
    """The store can't be reached when the put fails, so its parts stay until they are old enough."""
    source = tmp_path / "source"
    source.write_bytes(bytes(60 * MEGA))
    putting = background.start("put", lambda: bucket.store.put(NAME, source))
    direct = bucket.direct()._client
    wait_until(lambda: direct.list_multipart_uploads(Bucket=bucket.name).get("Uploads"), 20)
    with bucket.cut(), pytest.raises(StoreUnavailable):
        putting.result(30)
    assert uploads(bucket) == [f"home/{NAME}"]
    now = datetime.now(UTC) + timedelta(seconds=2)
    assert bucket.store.abort_uploads("", datetime(2000, 1, 1, tzinfo=UTC), ()) == 0  # moto dates all uploads 2010
    assert bucket.store.abort_uploads("files/md5/", now, ()) == 0
    assert bucket.store.abort_uploads("", now, {NAME}) == 0
    assert bucket.store.abort_uploads("", now, ()) == 1
    assert (uploads(bucket), bucket.names()) == ([], set())
