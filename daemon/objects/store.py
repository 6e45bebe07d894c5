"""What an object store does for a home: it keeps immutable objects, whose names say what their bytes are.

A name ends in the hash of the bytes, so that a late or a repeated put changes nothing, and nothing rests on conditional
writes, which some S3-compatible servers ignore without a word. Only the journal says which objects count.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from daemon.core.errors import DatasetDamaged, NotFound, Unavailable

MD5 = "files/md5/"
"""Where DVC keeps its objects in a remote: segments lie there, so that DVC finds them as well."""

SHA256 = "files/sha256/"
"""Where all other objects lie: the files of bundles, and the schema."""


class StoreUnavailable(Unavailable):
    """Raised when the object store does not answer, refuses, or is not set up; it is tried again later."""


class ObjectLost(NotFound):
    """Raised when the object store has no object of a name."""


class ObjectDamaged(DatasetDamaged):
    """Raised when the object store gave other bytes than the name of an object promises."""


class Entry(NamedTuple):
    """An object in a listing: its name, and its size in bytes."""

    name: str
    size: int


def by_md5(md5: str) -> str:
    """The name of a segment, or of one of DVC's lists, by its md5 as DVC writes it."""
    return f"{MD5}{md5[:2]}/{md5[2:]}"


def by_sha256(sha256: str) -> str:
    """The name of any other object."""
    return f"{SHA256}{sha256[:2]}/{sha256[2:]}"


class ObjectStore(Protocol):
    """One prefix of one bucket; every method may be called in any thread, and raises StoreUnavailable after a bounded time."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def put(self, name: str, source: Path | bytes) -> None:
        """Keep an object; durable when this returns, and doing it again changes nothing. Raises OSError for a file that can't be read."""

    def get(self, name: str, target: Path, sha256: str, *, mode: int = 0o600) -> None:
        """Bring an object to `target`, durably, once its sha256 is found to begin with `sha256`.

        Raises ObjectLost, ObjectDamaged, OSError; then there is no file.
        """

    def has(self, name: str) -> bool:
        """Whether there is an object of this name."""

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        """The objects whose names begin with `prefix`, in the order of their names."""

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects with all their versions, for good; those that are not there are passed over. Returns how many there were."""

    def versioned(self) -> bool:
        """Whether the bucket keeps earlier versions of what is deleted; `delete` removes these as well."""

    def refuses_overwriting(self, name: str) -> bool:
        """Whether a conditional put of an object that there is fails, as it should; nothing rests on it."""

    def close(self) -> None:
        """Let go of connections."""
