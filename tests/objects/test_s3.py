"""retraind.daemon.objects: a real S3 server over HTTP, cut off, stopped and filled with other bytes."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import stores
from conftest import names
from moto_server import Moto
from stores import SECRET, Bucket

from retraind.daemon.core import durable, settings
from retraind.daemon.core.errors import BadSettings, RetraindError
from retraind.daemon.core.settings import Storage
from retraind.daemon.objects import probe
from retraind.daemon.objects.opening import open_store
from retraind.daemon.objects.s3 import Refused, S3Store
from retraind.daemon.objects.store import ObjectDamaged, ObjectLost, StoreUnavailable, by_md5, by_sha256

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)

DATA = b"rows " * 1000
NAME = by_sha256(durable.sha256(DATA))


def test_object_is_put_listed_fetched_and_removed(bucket: Bucket, tmp_path: Path) -> None:
    """From memory and from a file; twice is the same as once; what comes back has the mode that was asked for."""
    store, target = bucket.store, tmp_path / "object"
    (tmp_path / "source").write_bytes(b"segment")
    assert not store.has(NAME)
    store.put(NAME, DATA)
    store.put(NAME, DATA)
    store.put(by_md5("ab" * 16), tmp_path / "source")
    assert store.has(NAME)
    assert bucket.names() == {NAME, by_md5("ab" * 16)}
    assert [entry.size for entry in store.listing("files/sha256/")] == [len(DATA)]
    store.get(NAME, target, durable.sha256(DATA), mode=0o444)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (DATA, 0o444)
    assert store.delete([NAME, by_sha256("0" * 64)]) == 1
    assert not store.has(NAME)


def test_keys_begin_with_the_prefix_and_stay_in_it(bucket: Bucket) -> None:
    """A neighbour of a longer name, and one in the same bucket, are not seen."""
    other = Storage(url=f"{bucket.settings.url}-other", endpoint=bucket.settings.endpoint)
    neighbour = open_store(other)
    assert neighbour is not None
    neighbour.put(NAME, DATA)
    assert bucket.names() == set()
    assert bucket.store.delete([NAME]) == 0
    assert neighbour.has(NAME)


def test_deletion_leaves_no_version(bucket: Bucket) -> None:
    """In a bucket that keeps versions a plain deletion would only hide the bytes."""
    bucket.keep_versions()
    bucket.store.put(NAME, DATA)
    bucket.store.put(NAME, DATA)
    bucket.client.delete_object(Bucket=bucket.name, Key=f"home/{NAME}")
    assert len(bucket.versions()) == 3
    assert bucket.store.delete([NAME]) == 1
    assert bucket.versions() == []


def test_server_that_knows_no_versions_deletes_plainly(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """As rclone's does: it answers that it has not implemented such listings."""
    pages = bucket.store._pages

    def refuse(operation: str, prefix: str) -> Iterator[Mapping[str, Any]]:
        if operation == "list_object_versions":
            raise Refused("refused", "NotImplemented", "")
        return pages(operation, prefix)

    monkeypatch.setattr(bucket.store, "_pages", refuse)
    bucket.store.put(NAME, DATA)
    assert bucket.store.delete([NAME, by_sha256("0" * 64)]) == 1
    assert not bucket.store.has(NAME)
    assert "deletes objects" in probe.describe(bucket.store)


def test_other_bytes_get_no_name(bucket: Bucket, tmp_path: Path) -> None:
    """Whoever may write to the bucket can damage an object; nothing of it is left here, and the sentence names it."""
    bucket.store.put(NAME, b"other bytes")
    with pytest.raises(ObjectDamaged, match=NAME):
        bucket.store.get(NAME, tmp_path / "object", durable.sha256(DATA))
    with pytest.raises(ObjectLost, match="is not in s3://"):
        bucket.store.get(by_sha256("0" * 64), tmp_path / "object", "0" * 64)
    assert names(tmp_path) == []


def test_transfer_that_is_cut_off_leaves_nothing(bucket: Bucket, tmp_path: Path) -> None:
    """The connection is reset in the middle of the body."""
    data = bytes(8_000_000)
    name = by_sha256(durable.sha256(data))
    bucket.store.put(name, data)
    bucket.link.most = 3_000_000
    with pytest.raises(StoreUnavailable, match="did not answer: get"):
        bucket.store.get(name, tmp_path / "object", durable.sha256(data))
    assert names(tmp_path) == []
    bucket.link.most = None
    for _ in range(5):  # another connection of the pool may have been reset as well
        with contextlib.suppress(StoreUnavailable):
            bucket.store.get(name, tmp_path / "object", durable.sha256(data))
            break
    assert names(tmp_path) == ["object"]


def test_store_that_is_down_is_named_and_used_again_when_it_is_back(bucket: Bucket) -> None:
    with bucket.cut(), pytest.raises(StoreUnavailable, match=r"s3://b-.* at http://127.0.0.1:\d+ did not answer: put"):
        bucket.store.put(NAME, DATA)
    bucket.store.put(NAME, DATA)
    assert bucket.store.has(NAME)


def test_store_that_hangs_is_given_up_after_a_bounded_time(bucket: Bucket) -> None:
    """Connections are taken, and nothing answers; twice the limit and a pause."""
    bucket.store.put(NAME, DATA)
    with bucket.hanging():
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="ReadTimeoutError"):
            bucket.store.put(NAME, DATA)
        assert 2 <= time.monotonic() - began < 6
    assert bucket.store.has(NAME)


def test_reasons_say_what_to_do_and_show_no_key(bucket: Bucket, server: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = S3Store("s3://no-such-bucket/home", server.endpoint, 1.0)
    with pytest.raises(StoreUnavailable, match=r"NoSuchBucket, 404.*Make the bucket") as refused:
        absent.put(NAME, DATA)
    with bucket.cut(), pytest.raises(StoreUnavailable) as down:
        bucket.store.put(NAME, DATA)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(StoreUnavailable, match=r"no credentials.*AWS_ACCESS_KEY_ID and") as without:
        bucket.open().put(NAME, DATA)
    texts = [str(error.value) for error in (refused, down, without)]
    assert not [text for text in texts if SECRET in text or "AKIA" in text]


def test_probe_says_what_a_store_does(bucket: Bucket) -> None:
    """It leaves nothing behind, in a bucket with versions either."""
    sentence = probe.describe(bucket.store)
    for ability in ("returns a new object at once", "lists it", "keeps no earlier versions", "deletes objects"):
        assert ability in sentence
    bucket.keep_versions()
    assert "keeps earlier versions" in probe.describe(bucket.store)
    assert bucket.versions() == []


def test_probe_of_a_store_that_loses_objects_fails(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program removes what is put, as a rule of the bucket might."""
    put = bucket.store.put

    def put_and_lose(name: str, source: Path | bytes) -> None:
        put(name, source)
        bucket.client.delete_object(Bucket=bucket.name, Key=f"home/{name}")

    monkeypatch.setattr(bucket.store, "put", put_and_lose)
    with pytest.raises(RetraindError, match=r"does not return a new object at once.*does not list"):
        probe.describe(bucket.store)


@pytest.mark.parametrize(
    "text",
    [
        "url = 'https://bucket/prefix'",
        f"url = 's3://AKIAEXAMPLE:{SECRET}@bucket'",
        "url = 's3://bucket/a?b'",
        "url = 's3://'",
        f"endpoint = 'http://AKIAEXAMPLE:{SECRET}@store:9000'",
        "endpoint = 'store:9000'",
        f"endpoint = 'http://AKIAEXAMPLE:{SECRET}'",
        f"endpoint = 'http://store:9000#{SECRET}'",
        f"url = 's3://bucket/a#{SECRET}'",
        f"url = 's3:/AKIAEXAMPLE:{SECRET}@bucket'",
    ],
)
def test_settings_that_name_no_bucket_or_hold_credentials_are_refused(tmp_path: Path, text: str) -> None:
    """The sentence names the key and shows no secret."""
    (tmp_path / "retraind.toml").write_text(f"[storage]\n{text}\n")
    with pytest.raises(BadSettings, match=r"storage\.(url|endpoint) = ") as refused:
        settings.load(tmp_path / "retraind.toml")
    assert SECRET not in str(refused.value)


def test_settings_without_a_store_open_none() -> None:
    assert open_store(Storage()) is None
    assert Storage(url="s3://bucket/prefix/").url == "s3://bucket/prefix"


@pytest.fixture
def no_store() -> Iterator[str]:
    """The address of a web server that is no object store: it has never heard of any path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_error(404)

        do_GET = do_PUT = do_DELETE = answer  # noqa: N815 - the names that the library looks for

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_server_that_is_no_store_is_unavailable_not_empty(bucket: Bucket, no_store: str, tmp_path: Path) -> None:
    """Its 404 must not say that an object is lost, or a put version's files would count as removed."""
    store = S3Store(bucket.settings.url, no_store, 1.0)
    for action in (
        lambda: store.put(NAME, DATA),
        lambda: store.get(NAME, tmp_path / "object", durable.sha256(DATA)),
        lambda: list(store.listing()),
        lambda: store.delete([NAME]),
    ):
        with pytest.raises(StoreUnavailable, match=r"storage\.endpoint"):
            action()


@pytest.mark.parametrize("text", ["", "[default\naws_secret_access_key = " + SECRET])
def test_configuration_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """A profile that does not exist, and a file that is no configuration."""
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(StoreUnavailable, match=r"can't be used: .*(absent|config)") as refused:
        open_store(Storage(url="s3://bucket/home"))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", ["s3://bucket/a/../b", "s3://bucket/..", "s3://bucket/./a"])
def test_prefix_that_leads_out_of_itself_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="write s3://bucket or"):
        Storage(url=url)
