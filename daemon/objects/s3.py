"""An S3-compatible object store: the only module that imports botocore, used only if `storage.url` or `inbox.url` is set.

It only uses operations that all such servers have: plain puts, gets, listings and deletions. Each upload carries its
md5, which the server compares. Credentials come from the sources of AWS's own tools (AWS_* variables, ~/.aws, the
machine's role), and no text that leaves this module contains them.
"""

import base64
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import botocore.session
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, PartialCredentialsError
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp

from retraind.daemon.core import logs
from retraind.daemon.objects import arrival, multipart, quick_times, server_certificate
from retraind.daemon.objects.quick_gets import QuickGets
from retraind.daemon.objects.s3_codes import CERTIFICATE, GONE, HINTS, KEYS, PRECONDITION, UNVERSIONED
from retraind.daemon.objects.store import Entry, ObjectLost, StoreUnavailable

log = logs.Logger()

T = TypeVar("T")

TRIES = 2
"""Attempts for one request; few, because the caller retries later anyway and should not wait long."""

CONNECTIONS = 32
"""Connections that are kept; they are opened as they are needed."""

PIECE_BYTES = 1_048_576

NO_KEYS: Mapping[str, str] = {}


class Refused(StoreUnavailable):
    """Raised when the server answered with an error; `code` is its error code."""

    def __init__(self, message: str, code: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class S3Store:
    """One prefix of a bucket.

    `url` is `s3://bucket/prefix`, `endpoint` a server other than AWS, `seconds` the time limit for an answer.
    """

    def __init__(self, url: str, endpoint: str, seconds: float, keys: Mapping[str, str] = NO_KEYS) -> None:
        """`keys`: arguments of botocore's client with credentials; without them they come from AWS's sources."""
        parts = urlsplit(url)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._url, self._endpoint = url, endpoint
        # Older servers support no checksum except md5, and buckets in the host name need a matching DNS.
        config = Config(
            connect_timeout=min(seconds, 5.0),
            read_timeout=seconds,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
            max_pool_connections=CONNECTIONS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint else "auto"},
            tcp_keepalive=True,
            signature_version="s3v4",
        )
        try:
            session = botocore.session.get_session()
            session.register_component("data_loader", _descriptions(session.get_config_variable("data_path")))
            session.get_component("response_parser_factory").set_parser_defaults(
                timestamp_parser=quick_times.parser(parse_timestamp)
            )
            self._bundle = session.get_config_variable("ca_bundle")
            region = session.get_config_variable("region") or "us-east-1"
            self._client: Any = session.create_client(
                "s3", region, endpoint_url=endpoint or None, config=config, **keys
            )
        except (BotoCoreError, ValueError) as error:
            raise StoreUnavailable(f"The object store {self.place} can't be used: {error}.", hint=KEYS) from None

    @property
    def place(self) -> str:
        """The location of the store, for people."""
        return f"{self._url} at {self._endpoint}" if self._endpoint else self._url

    def put(self, name: str, source: Path | bytes) -> None:
        """Store an object; see `retraind.daemon.objects.store.ObjectStore`."""
        if isinstance(source, Path) and source.stat().st_size > multipart.SINGLE_BYTES:
            multipart.put(self._ask, self._client, name, source)
            return
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
            file.seek(0)
            check = base64.b64encode(md5).decode()
            self._ask("put", name, self._client.put_object, Body=file, ContentMD5=check)

    def get(self, name: str, target: Path, sha256: str, *, mode: int = 0o600) -> None:
        """Fetch an object to `target`; see `retraind.daemon.objects.store.ObjectStore`."""
        answer = self._ask("get", name, self._client.get_object)
        with closing(answer["Body"]) as body:
            pieces = self._pieces(name, body)
            arrival.write(target, pieces, sha256, f"{name} in {self.place}", mode=mode)

    def check(self) -> None:
        """Nothing to check: `retraind.daemon.objects.ownership` does."""

    def read(self, name: str) -> bytes:
        """The bytes of a small object; see `retraind.daemon.objects.store.ObjectStore`."""
        return self._read(name)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of an object; see `retraind.daemon.objects.store.ObjectStore`."""
        return self._read(name, Range=f"bytes={start}-{start + length - 1}")

    def _read(self, name: str, **values: str) -> bytes:
        answer = self._ask("get", name, self._client.get_object, **values)
        with closing(answer["Body"]) as body:
            return b"".join(self._pieces(name, body))

    def _pieces(self, name: str, body: Any) -> Iterator[bytes]:
        try:
            yield from body.iter_chunks(PIECE_BYTES)
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise self._unavailable("get", name, error) from None

    def has(self, name: str) -> bool:
        """Whether there is an object with this name."""
        try:
            self._ask("look at", name, self._client.head_object)
        except ObjectLost:
            return False
        return True

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        """The objects with names that begin with `prefix`."""
        begin = len(self._key(""))
        for page in self._pages("list_objects_v2", prefix):
            yield from (Entry(one["Key"][begin:], one["Size"]) for one in page.get("Contents", ()))

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects with all their versions."""
        return sum(self._delete(name) for name in names)

    def _delete(self, name: str) -> bool:
        """Delete one object with all its versions; whether there was one."""
        try:
            versions = self._versions(name)
        except Refused as refused:
            if refused.code not in UNVERSIONED:
                raise
            there = self.has(name)
            self._ask("delete", name, self._client.delete_object)
            return there
        for version in versions:
            self._ask("delete", name, self._client.delete_object, VersionId=version)
        return bool(versions)

    def _versions(self, name: str) -> list[str]:
        """The ids of all versions of an object, marks of deletions among them."""
        pages = self._pages("list_object_versions", name)
        entries = (one for page in pages for kind in ("Versions", "DeleteMarkers") for one in page.get(kind, ()))
        return [one["VersionId"] for one in entries if one["Key"] == self._key(name)]

    def abort_uploads(self, prefix: str, before: datetime, spared: Collection[str]) -> int:
        """Remove the parts of puts that a killed process left; see `retraind.daemon.objects.store.ObjectStore`."""
        begin = len(self._key(""))
        try:
            pages = self._pages("list_multipart_uploads", prefix)
            uploads = [one for page in pages for one in page.get("Uploads", ())]
        except Refused as refused:  # by a server without parts, or without this right
            log.warning("uploads_not_listed", reason=str(refused))
            return 0
        old = [one for one in uploads if one["Initiated"] < before and one["Key"][begin:] not in spared]
        for one in old:
            with suppress(ObjectLost):
                name, abort = one["Key"][begin:], self._client.abort_multipart_upload
                self._ask("abort", name, abort, UploadId=one["UploadId"])
        return len(old)

    def versioned(self) -> bool:
        """Whether the bucket keeps earlier versions of deleted objects."""
        answer = self._asked("look at", "", lambda: self._client.get_bucket_versioning(Bucket=self._bucket))
        return answer.get("Status") in ("Enabled", "Suspended")

    def refuses_overwriting(self, name: str) -> bool:
        """Whether the server respects `If-None-Match: *` for an existing object; no code relies on it."""
        try:
            self._ask("put", name, self._client.put_object, Body=b"", IfNoneMatch="*")
        except Refused as refused:
            return refused.code in PRECONDITION
        return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _quick_gets(self, seconds: float) -> QuickGets | None:
        """A way to get many small objects; None behind a proxy, and without credentials."""
        credentials, bundle = self._client._request_signer._credentials, self._bundle
        if credentials is None or getproxies().keys() & {"http", "https", "all"}:
            return None
        values = {"Bucket": self._bucket, "Key": self._key("x")}
        address = self._client.generate_presigned_url("get_object", Params=values).partition("?")[0]

        def sign(address: str) -> Mapping[str, str]:
            request = AWSRequest("GET", address)
            S3SigV4Auth(credentials.get_frozen_credentials(), "s3", self._client.meta.region_name).add_auth(request)
            return dict(request.headers)

        return QuickGets(address.removesuffix("x"), sign, seconds, get_cert_path(bundle or True))

    def _pages(self, operation: str, prefix: str, **values: str) -> Iterator[Mapping[str, Any]]:
        """The pages of a listing, one request each."""
        paginator = self._client.get_paginator(operation)
        pages = iter(paginator.paginate(Bucket=self._bucket, Prefix=self._key(prefix), **values))
        while (page := self._asked("list", prefix, lambda: next(pages, None))) is not None:
            yield page

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _ask(self, action: str, name: str, operation: Callable[..., Any], **values: Any) -> Any:
        """One request for one object."""
        return self._asked(action, name, lambda: operation(Bucket=self._bucket, Key=self._key(name), **values))

    def _asked(self, action: str, name: str, request: Callable[[], T]) -> T:
        try:
            return request()
        except ClientError as error:
            if _code(error) in GONE.get(action, ()):
                raise ObjectLost(f"{name} is not in {self.place}.", hint="A backup may have it.") from None
            raise self._refused(action, name, error) from None
        except (BotoCoreError, HTTPClientError, ValueError) as error:
            raise self._unavailable(action, name, error) from None

    def _unavailable(self, action: str, name: str, error: Exception) -> StoreUnavailable:
        """Why there was no answer, in a sentence without credentials: it has the names of errors, not their texts."""
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return StoreUnavailable(f"There are no credentials for the object store {self.place}.", hint=KEYS)
        if objection := server_certificate.objection(error):
            return StoreUnavailable(f"The object store {self.place} can't be trusted: {objection}.", hint=CERTIFICATE)
        reason = f"did not answer: {action} {name}".rstrip()
        hint = "Check the server, the network and storage.endpoint."
        return StoreUnavailable(f"The object store {self.place} {reason} ({type(error).__name__}).", hint=hint)

    def _refused(self, action: str, name: str, error: ClientError) -> "Refused":
        code, about = _code(error), f"{action} {name}".rstrip()
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "no status")
        return Refused(f"The object store {self.place} refused: {about} ({code}, {status}).", code, HINTS.get(code, ""))


@cache
def _descriptions(path: str | None) -> Loader:
    """The reader of the client's descriptions of services; all clients share what it has read, a megabyte of JSON."""
    return create_loader(path)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
