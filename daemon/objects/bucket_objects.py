"""The objects of an inbox in a bucket: listed, read once, and deleted as the version that was read.

Unlike in the object store (`store.py`), other programs put them, under names of their choice, and may overwrite them.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from itertools import islice
from typing import Any, NamedTuple, Protocol

from urllib3.exceptions import HTTPError

from retraind.daemon.objects.s3 import NO_KEYS, PIECE_BYTES, Refused, S3Store
from retraind.daemon.objects.s3_codes import UNVERSIONED
from retraind.daemon.objects.store import StoreUnavailable

MOST_AT_ONCE = 1000
"""Maximum number of objects in one request for their deletion."""

SINGLY = {*UNVERSIONED, "MissingContentMD5", "InvalidRequest", "MalformedXML"}
"""Error codes of servers that can't delete several objects at once."""

DENIED = {"AccessDenied", "403"}
"""Error codes by which some servers refuse to delete several objects because of one of them."""

MOST_DENIED = 8
"""Objects that a server may refuse to delete one by one, before that is taken for its answer to all."""

GONE = {"NoSuchKey", "NoSuchVersion"}

NULL = "null"
"""The version id of objects that were put before a bucket had versions, or while these are suspended."""


class Sink(Protocol):
    """A file, as far as an object is written to it."""

    def write(self, data: bytes, /) -> int:
        """Write some bytes; returns their number."""


class Version(NamedTuple):
    """One version of an object: its name within the prefix, ETag, size (bytes), and last change (Unix seconds).

    `id` is its version id; None in a bucket that never had versions, and in a listing.
    """

    name: str
    etag: str
    size: int
    modified: int
    id: str | None = None

    @property
    def is_lasting(self) -> bool:
        """Whether its id will always name these bytes: `null` names what was put last while versioning is suspended."""
        return self.id not in (None, "", NULL)


class BucketObjects(S3Store):
    """A prefix of a bucket into which other programs put objects."""

    def __init__(self, url: str, endpoint: str, seconds: float, keys: Mapping[str, str] = NO_KEYS) -> None:
        super().__init__(url, endpoint, seconds, keys)
        self._gets = self._quick_gets(seconds)

    def objects(self, after: str, most: int) -> list[Version]:
        """The first `most` objects with names after `after`, sorted by name."""
        start = {"StartAfter": self._key(after)} if after else {}
        pages = self._pages("list_objects_v2", "", **start)
        return list(islice((self._listed(one) for page in pages for one in page.get("Contents", ())), most))

    def _listed(self, one: Mapping[str, Any]) -> Version:
        name = one["Key"][len(self._key("")) :]
        return Version(name, one["ETag"].strip('"'), one["Size"], int(one["LastModified"].timestamp()))

    def fetch(self, name: str, file: Sink) -> Version:
        """Write the present bytes of an object to `file`; returns the version that was read.

        Raises ObjectLost, Refused, StoreUnavailable, OSError.
        """
        with self._gets.get(name) if self._gets else nullcontext() as answer:
            if answer is not None:
                headers: Any = answer.headers
                size = self._write(name, iter(lambda: answer.read(PIECE_BYTES), b""), file)
        if answer is None:
            plain = self._ask("get", name, self._client.get_object)
            headers = plain["ResponseMetadata"]["HTTPHeaders"]
            with closing(plain["Body"]) as body:
                size = self._write(name, body.iter_chunks(PIECE_BYTES), file)
        if size != int(headers.get("content-length", size)):
            raise StoreUnavailable(f"The object store {self.place} broke off: get {name}.", hint="It is tried again.")
        modified = int(parsedate_to_datetime(headers["last-modified"]).timestamp())
        return Version(name, headers["etag"].strip('"'), size, modified, headers.get("x-amz-version-id"))

    def _write(self, name: str, pieces: Iterator[bytes], file: Sink) -> int:
        size = 0
        while (piece := self._next(name, pieces)) is not None:
            size += file.write(piece)
        return size

    def _next(self, name: str, pieces: Iterator[bytes]) -> bytes | None:
        try:
            return self._asked("get", name, lambda: next(pieces, None))
        except (HTTPError, HTTPException, OSError) as error:
            raise self._unavailable("get", name, error) from None

    def remove(self, versions: Sequence[Version]) -> dict[Version, str]:
        """Delete these versions; of one that is not lasting, whatever is in its place now. Missing ones count as deleted.

        Returns those that the server refuses to delete, with its error code.
        """
        failed: dict[Version, str] = {}
        for begin in range(0, len(versions), MOST_AT_ONCE):
            failed |= self._remove(versions[begin : begin + MOST_AT_ONCE])
        return failed

    def _remove(self, versions: Sequence[Version]) -> dict[Version, str]:
        doomed = {"Objects": [self._identity(one) for one in versions], "Quiet": True}
        request = self._client.delete_objects
        try:
            answer = self._asked("delete", "", lambda: request(Bucket=self._bucket, Delete=doomed))
        except Refused as refused:
            if refused.code not in SINGLY | DENIED:
                raise
            return self._remove_singly(versions, MOST_DENIED if refused.code in DENIED else len(versions))
        codes = {(one.get("Key"), one.get("VersionId")): one.get("Code", "") for one in answer.get("Errors", ())}
        keys = [(one, self._key(one.name)) for one in versions]
        # Some servers leave the version out.
        refusals = ((one, codes.get((key, one.id), codes.get((key, None)))) for one, key in keys)
        return {one: code for one, code in refusals if code is not None and code not in GONE}

    def _remove_singly(self, versions: Sequence[Version], most: int) -> dict[Version, str]:
        """Delete one by one; if the first `most` are all refused, the others count as refused as well."""
        failed: dict[Version, str] = {}
        # In another order each time, because the first ones may be those that are refused.
        for tried, one in enumerate(random.sample(versions, len(versions)), 1):
            if (code := self._remove_alone(one)) is not None:
                failed[one] = code
                if len(failed) == tried == most:
                    return dict.fromkeys(versions, code)
        return failed

    def _remove_alone(self, version: Version) -> str | None:
        """The error code if the server refuses to delete it."""
        try:
            self._asked(
                "delete",
                version.name,
                lambda: self._client.delete_object(Bucket=self._bucket, **self._identity(version)),
            )
        except Refused as refused:
            return None if refused.code in GONE else refused.code
        return None

    def _identity(self, version: Version) -> dict[str, str]:
        return {"Key": self._key(version.name)} | ({"VersionId": version.id} if version.id else {})

    def close(self) -> None:
        """Close the connections."""
        if self._gets is not None:
            self._gets.close()
        super().close()

    def earlier_versions(self) -> int:
        """The number of versions that others have replaced, among the first thousand; they come back as others leave."""
        page = next(self._pages("list_object_versions", ""), {})
        return sum(not one["IsLatest"] for one in page.get("Versions", ()))
