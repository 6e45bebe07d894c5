"""A real S3 server for tests, moto's, and a link to it that can be cut. A module makes fixtures of `server` and `bucket`."""

import contextlib
import hashlib
import os
import secrets
import select
import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingesting import Parts
from moto_server import Moto, free_port

from benchmarks import ceph
from benchmarks.ceph import Ceph
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Storage
from retraind.daemon.objects.opening import open_store
from retraind.daemon.objects.s3 import S3Store
from retraind.daemon.objects.store import by_md5
from retraind.daemon.records import segments as recorded
from retraind.daemon.schema.schema import Schema

SECRET = "s3cret-that-is-in-no-text"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
LINGER = struct.pack("ii", 1, 0)
"""A connection that is closed with it is reset."""


OK = b"HTTP/1.1 200 OK\r\n"


class Link:
    """A port of this machine behind which the server is.

    Until the link is cut: then connections are reset and refused. Or until it hangs: then they are taken, and nothing is
    answered. The server's objects outlive both, as those of a real store do.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.most: int | None = None
        """So many bytes come back over one connection, then it is reset."""
        self.going = threading.Event()
        """Cleared while it hangs."""
        self.going.set()
        self.header = b""
        """This line is added to the heads of answers with status 200."""
        self.mend()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def mend(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._begin(self._accept, self._listener)

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for one in self._open:
            _reset(one)
        self._open.clear()

    def close(self) -> None:
        """Cut it for good."""
        self.cut()
        self.going.set()
        for thread in self._threads:
            thread.join(5)

    def _begin(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._open += [client, server]
            self._begin(self._forward, client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        back = 0
        with contextlib.suppress(OSError, ValueError):
            while self._listener is not None:
                for source in select.select([client, server], [], [], 0.2)[0]:
                    self.going.wait()
                    data = source.recv(65536)
                    if source is server:
                        back += len(data)
                    if source is server and data.startswith(OK):
                        data = data.replace(OK, OK + self.header, 1)
                    if not data or (self.most is not None and back > self.most):
                        raise OSError
                    (server if source is client else client).sendall(data)
        _reset(client)
        _reset(server)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


KINDS = ["moto", pytest.param("ceph", marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
"""Parameters of `server`: with Ceph's gateway, too, in the long form of the tests."""


def server(request: pytest.FixtureRequest) -> Moto | Ceph:
    """The server that all tests share, or Ceph's, which those of a module share."""
    os.environ.update(KEYS)
    if getattr(request, "param", "moto") == "moto":
        moto: Moto = request.getfixturevalue("moto")
        return moto
    if ceph.root() is None:
        pytest.skip("Ceph is not installed (Debian, Ubuntu: apt install radosgw ceph-osd ceph-mon, or CEPH_ROOT)")
    folder = request.getfixturevalue("tmp_path_factory").mktemp("ceph")
    made = Ceph(folder, KEYS["AWS_ACCESS_KEY_ID"], SECRET)
    request.addfinalizer(made.close)
    return made


class Bucket:
    """A new bucket behind a link of its own, and the store in it."""

    def __init__(self, server: Moto | Ceph, seconds: float = 1.0) -> None:
        os.environ.update(KEYS)
        self.server, self.link = server, Link(server.port)
        self.name = f"b-{secrets.token_hex(8)}"
        self.settings = Storage(url=f"s3://{self.name}/home", endpoint=self.link.endpoint, timeout_seconds=seconds)
        self.store = self.open()
        self.client = self.store._client
        self.client.create_bucket(Bucket=self.name)

    def open(self) -> S3Store:
        """The store, by a client of its own."""
        store = open_store(self.settings)
        assert isinstance(store, S3Store)
        return store

    def direct(self) -> S3Store:
        """The store without the link, which at the end of a large answer resets the connection."""
        store = open_store(self.settings.model_copy(update={"endpoint": self.server.endpoint}))
        assert isinstance(store, S3Store)
        return store

    def names(self) -> set[str]:
        """The names of all objects."""
        return {entry.name for entry in self.store.listing()}

    def versions(self) -> list[str]:
        """The keys of all versions of objects, and of marks of deletions."""
        answer = self.client.list_object_versions(Bucket=self.name)
        return [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in answer.get(kind, ())]

    def keep_versions(self) -> None:
        """Have the bucket keep versions."""
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})

    def suspend_versions(self) -> None:
        """Have the bucket keep no more versions: it answers with the version `null`, as AWS does, and moto and Ceph do not."""
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Suspended"})
        self.link.header = b"x-amz-version-id: null\r\n" if isinstance(self.server, Moto) else b""

    @property
    def environment(self) -> dict[str, str]:
        """The settings, for a service."""
        return {
            **KEYS,
            "RETRAIND_STORAGE__URL": self.settings.url,
            "RETRAIND_STORAGE__ENDPOINT": self.settings.endpoint,
            "RETRAIND_STORAGE__TIMEOUT_SECONDS": str(self.settings.timeout_seconds),
        }

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """The store can't be reached."""
        self.link.cut()
        try:
            yield
        finally:
            self.link.mend()
            time.sleep(0.01)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """The store takes connections and answers nothing."""
        self.link.going.clear()
        try:
            yield
        finally:
            self.link.going.set()


def bucket(server: Moto | Ceph) -> Iterator[Bucket]:
    """A bucket for one test."""
    bucket = Bucket(server)
    yield bucket
    bucket.link.close()


def durable_md5(path: Path) -> str:
    """The md5 by which a file is named in the store."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def parts(home: Home, schema: Schema, bucket: Bucket) -> Iterator[Parts]:
    """The daemon's parts on a home whose segments go to the bucket; a fixture where it is named so."""
    assert schema
    made = Parts(home, store=bucket.store)
    yield made
    made.close()


def wipe(home: Home) -> None:
    """The disk with data/ and everything derived from it is another one."""
    shutil.rmtree(home.data)
    shutil.rmtree(home.known)
    home.make()


def lost(parts: Parts, bucket: Bucket) -> list[str]:
    """Segments of the journal, past and present, that the store lacks."""
    there = bucket.names()
    return [row["name"] for row in recorded.ever(parts.home.journal) if by_md5(row["md5"]) not in there]


def has_schema(parts: Parts) -> bool:
    """Whether the store has the schema, looked at as the loop does."""
    parts.dataset.stored.tend(time.monotonic())
    return parts.dataset.stored.schema.is_stored
