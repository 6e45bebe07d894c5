"""The interface of an object store: it stores immutable objects under names that identify their bytes.

A name ends in the hash of the bytes, so a late or repeated put changes nothing. No code relies on conditional writes,
which some S3-compatible servers silently ignore. Only the journal says which objects count.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from retraind.daemon.core.errors import DatasetDamaged, NotFound, Unavailable

MD5 = "files/md5/"
"""DVC's prefix of objects in a remote; segments are stored there, so that DVC can also read them."""

SHA256 = "files/sha256/"
"""The prefix of all other objects: the files of bundles, and the schema."""


class StoreUnavailable(Unavailable):
    """Raised when the object store does not answer, refuses, or is not set up; callers retry later."""


class ObjectLost(NotFound):
    """Raised when the object store has no object with a name."""


class ObjectDamaged(DatasetDamaged):
    """Raised when the object store returned bytes that do not match the object's name."""


class Entry(NamedTuple):
    """An object in a listing: its name, and its size in bytes."""

    name: str
    size: int


def by_md5(md5: str) -> str:
    """The object name of a segment, or of one of DVC's lists, from its md5 as DVC writes it."""
    return f"{MD5}{md5[:2]}/{md5[2:]}"


def by_sha256(sha256: str) -> str:
    """The object name of any other content."""
    return f"{SHA256}{sha256[:2]}/{sha256[2:]}"


class ObjectStore(Protocol):
    """One prefix of one bucket; every method may be called in any thread, and raises StoreUnavailable after a bounded time."""

    @property
    def place(self) -> str:
        """The location of the store, for people."""

    def put(self, name: str, source: Path | bytes) -> None:
        """Store an object; it is durable when this returns, and a repetition changes nothing.

        A large file is put in parts. Raises OSError for an unreadable file.
        """

    def get(self, name: str, target: Path, sha256: str, *, mode: int = 0o600) -> None:
        """Fetch an object to `target`, durably, if its sha256 begins with `sha256`.

        Raises ObjectLost, ObjectDamaged, OSError; then no file is left.
        """

    def check(self) -> None:
        """Raise StoreUnavailable if objects must not be put or deleted here now."""

    def read(self, name: str) -> bytes:
        """The bytes of a small object, unverified; raises ObjectLost."""

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of an object, unverified; raises ObjectLost."""

    def has(self, name: str) -> bool:
        """Whether there is an object with this name."""

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        """The objects with names that begin with `prefix`, sorted by name."""

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects with all their versions for good, skipping missing ones; returns their number."""

    def abort_uploads(self, prefix: str, before: datetime, spared: Collection[str]) -> int:
        """Remove the parts of unfinished puts that began `before`, of names with this prefix that are not `spared`.

        Returns the number of puts. A put that is still under way fails.
        """

    def versioned(self) -> bool:
        """Whether the bucket keeps earlier versions of deleted objects; `delete` removes these as well."""

    def refuses_overwriting(self, name: str) -> bool:
        """Whether a conditional put of an existing object fails, as it should; no code relies on it."""

    def close(self) -> None:
        """Close the connections."""
