"""What is said of a bucket as inbox: that it was not listed yet, what stays in it, and what can't be deleted."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager

import bucket_inboxes
import pytest
import stores
from botocore.awsrequest import AWSRequest, AWSResponse
from bucket_inboxes import BucketParts, text

from retraind.daemon.inbox.bucket import courier, overview
from retraind.daemon.records.drops import decided

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)
parts = pytest.fixture(bucket_inboxes.parts)


class Body:
    """The body of an answer."""

    def stream(self) -> Iterator[bytes]:
        """Its pieces."""
        yield b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def refuse(request: AWSRequest, **_: object) -> AWSResponse:
    """Whole requests for deletions, as some servers answer for one object."""
    return AWSResponse(request.url, 403, {}, Body())


@contextmanager
def refused(parts: BucketParts, names: str) -> Iterator[None]:
    """The server refuses requests to delete several objects, and those for objects with such names."""
    client, hook = parts.objects._client, "before-send.s3.DeleteObjects"
    resource = f"arn:aws:s3:::{parts.bucket.name}/drops/{names}"
    denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": resource}
    client.meta.events.register(hook, refuse)
    client.put_bucket_policy(Bucket=parts.bucket.name, Policy=json.dumps({"Statement": [denial]}))
    yield
    client.delete_bucket_policy(Bucket=parts.bucket.name)
    client.meta.events.unregister(hook, refuse)


def test_bucket_is_not_called_empty_before_it_was_listed(parts: BucketParts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check does not fail at once, since a start takes some seconds, but then it does."""
    parts.put("a.csv", text(1.0))
    objection, sentence = parts.inbox.remote() or ("", "")
    assert objection is None
    assert sentence.startswith(f"{parts.courier.place} has not been listed in the ")
    monkeypatch.setattr(overview, "PATIENCE_SECONDS", 0.0)
    objection, _ = parts.inbox.remote() or (None, "")
    assert str(objection).startswith(f"{parts.courier.place} has not been listed in the ")
    parts.round()
    assert parts.inbox.remote() == (None, f"0 objects wait in {parts.courier.place}.")


def test_objects_that_stay_because_of_their_names_are_counted(
    parts: BucketParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without marks of folders and our own object; over all listings of a large bucket."""
    for name in ("a.csv", "_x.csv", "folder/", "predict/y.csv"):
        parts.put(name, text(1.0))
    monkeypatch.setattr(courier, "MOST_LISTED", 2)
    for _ in range(8):
        parts.round()
    ending = "2 objects there will not be taken because of the name, first _x.csv."
    assert parts.inbox.remote() == (None, f"0 objects wait in {parts.courier.place}. {ending}")


def test_deletions_that_are_refused_as_a_whole_stop_no_taking(parts: BucketParts) -> None:
    """The object that can't be deleted is named, and counts once; the others leave."""
    with refused(parts, "locked*"):
        for number, names in enumerate((["a.csv", "locked.csv"], ["b.csv"])):
            for name in names:
                parts.put(name, text(number + len(name) / 100))
            parts.take()
        assert (len(parts.lengths), parts.keys, len(parts.drops())) == (3, ["locked.csv"], 3)
        assert f"1 object can't be deleted after they were taken, first {parts.url}/locked.csv?" in str(
            parts.courier.objection
        )
    parts.take()
    assert (parts.keys, parts.leaving, parts.courier.objection) == ([], [], None)


def test_deletions_that_are_all_refused_are_not_tried_one_by_one(parts: BucketParts) -> None:
    """All objects count as refused, up to the number that stops the taking."""
    with refused(parts, "*"):
        for number in range(12):
            parts.put(f"{number:02}.csv", text(number))
        parts.take()
        requests: list[object] = []
        parts.objects._client.meta.events.register("before-send.s3.DeleteObject", lambda **call: requests.append(call))
        parts.take()
        assert (len(parts.lengths), len(parts.keys), len(requests)) == (12, 12, 16)
        assert str(parts.courier.objection).startswith("12 objects can't be deleted")


def test_refusals_stay_named_while_other_objects_are_listed(
    parts: BucketParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deletions and reads, in a bucket with more objects than one listing has."""
    archived = {"Body": text(9.0).encode(), "StorageClass": "GLACIER"}
    parts.client.put_object(Bucket=parts.bucket.name, Key="drops/b.csv", **archived)
    parts.put("a.csv", text(1.0))
    monkeypatch.setattr(courier, "MOST_LISTED", 2)
    with refused(parts, "*"):
        for _ in range(3):
            parts.take()
        parts.put("z1.csv", text(2.0))
        parts.put("z2.csv", text(3.0))
        seen = []
        for _ in range(6):
            parts.round()
            seen.append((bool(parts.courier._removal.refused), bool(parts.courier._unreadable)))
        assert seen == [(True, True)] * 6


def test_object_that_is_packed_has_a_reason_that_says_so(parts: BucketParts) -> None:
    """As an object with `Content-Encoding: gzip` is, whose name does not say it."""
    packed = gzip.compress(text(1.0).encode())
    parts.client.put_object(Bucket=parts.bucket.name, Key="drops/a.csv", Body=packed, ContentEncoding="gzip")
    parts.put("b.csv.gz", gzip.compress(text(2.0).encode()))
    parts.take()
    [refused] = [row for row in decided.newest(parts.home.journal, 9) if row["state"] == "rejected"]
    assert "is packed by gzip: give it a name that ends in .csv.gz" in str(refused["reason"])
    assert (parts.lengths, parts.keys) == ([2.0], [])
