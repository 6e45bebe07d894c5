"""Origins of objects: which bytes of which key are deleted, whatever the key, and whatever versions the bucket keeps."""

from io import BytesIO

import bucket_inboxes
import pytest
import stores
from bucket_inboxes import BucketParts, hold, text

from retraind.daemon.core import requests
from retraind.daemon.inbox.bucket import origin
from retraind.daemon.objects.bucket_objects import Version

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)
parts = pytest.fixture(bucket_inboxes.parts)

URL = "s3://bucket/drops"

KEYS = [
    "a.csv",
    "a.csv?versionId=abc",
    "b?etag=z.csv",
    "c?",
    "d%3Fetag=1&etag=2.csv",
    "e?versionId=null&etag=f",
    "g#h+ ä.csv",
]


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("version", ["3/L4+kqtJ.lc_pX==", "null", None, "odd?versionId=&etag=%"])
def test_origin_names_one_version_of_one_object(name: str, version: str | None) -> None:
    """Also if the key looks like an origin. An ETag is in it only where no version is lasting."""
    lasting = version not in (None, "null")
    made = origin.of(URL, Version(name, "0f-2", 5, 7, version))
    assert origin.parsed(URL, made) == Version(name, "" if lasting else "0f-2", 0, 0, version)
    assert origin.parsed("s3://bucket/other", made) is None


def test_origins_of_earlier_releases_are_read() -> None:
    """Those of buckets with versions and without. One of suspended versions says nothing of the bytes, so it fits none."""
    assert origin.parsed(URL, f"{URL}/a%41 b?c.csv?etag=0f") == Version("a%41 b?c.csv", "0f", 0, 0)
    assert origin.parsed(URL, f"{URL}/a.csv?versionId=x+y/z==") == Version("a.csv", "", 0, 0, "x+y/z==")
    assert origin.parsed(URL, f"{URL}/a.csv?versionId=null") == Version("a.csv", "", 0, 0, "null")
    assert origin.parsed(URL, f"{URL}/a.csv") is None


@pytest.mark.parametrize("versioned", [True, False])
def test_key_that_looks_like_an_origin_is_taken_once_and_no_other_with_it(
    parts: BucketParts, *, versioned: bool
) -> None:
    """Programs that fetch from signed links save such names."""
    if versioned:
        parts.bucket.keep_versions()
    for number, name in enumerate(("a.csv?versionId=abc", "a.csv?etag=z", "a.csv?versionId=null&etag=z")):
        parts.put(name, text(number))
    parts.round()
    parts.put("a.csv", text(7.0))
    parts.run()
    parts.round()
    assert parts.keys == ["a.csv"]
    parts.take()
    assert (parts.lengths, parts.leaving, len(parts.drops())) == ([0.0, 1.0, 2.0, 7.0], [], 4)


def test_held_object_that_is_overwritten_while_versions_are_suspended_spares_the_new_one(parts: BucketParts) -> None:
    """Its version was `null`, which is by now that of the new bytes. Ceph does not say it, as for a bucket without versions."""
    parts.bucket.keep_versions()
    parts.bucket.suspend_versions()
    sha256 = hold(parts, "a.csv", text(1.0))
    parts.put("a.csv", text(1.0))
    parts.take()
    requests.submit(parts.home, "accept", drop=sha256)
    parts.run()
    ending = "etag=" if parts.objects.fetch("a.csv", BytesIO()).id is None else "versionId=null&etag="
    assert parts.leaving[0].startswith(f"{parts.url}/a.csv?{ending}")
    parts.put("a.csv", text(2.0))
    parts.take()
    parts.take()
    assert (parts.lengths, parts.keys, parts.leaving) == ([1.0, 2.0], [], [])


def test_record_of_an_earlier_release_deletes_no_other_bytes(parts: BucketParts) -> None:
    """What such a record named is taken again, as a duplicate if it is still the same, and then deleted."""
    parts.bucket.keep_versions()
    parts.bucket.suspend_versions()
    parts.put("new.csv", text(1.0))
    parts.journal.key_values.put("leaving objects", [f"{parts.url}/new.csv?versionId=null"])
    parts.reopen()
    parts.take()
    parts.take()
    assert (parts.lengths, parts.keys, parts.leaving) == ([1.0], [], [])
