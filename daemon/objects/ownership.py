"""Ownership of an object store's prefix: the object `owner.json` names the one journal whose objects are there.

A home whose journal it does not name, such as a restored backup or a copied folder, may read, but neither put nor
delete: its clean-up would remove the objects of the other home. The first home to put an object writes the name.
`retraind claim` replaces it; the earlier owner notices before its next deletion, or within a minute. Nothing relies on
a conditional put: if two homes write the name at once, the later one counts, and each looks again.
"""

import json
import socket
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from daemon.core import logs
from daemon.core.home import Home
from daemon.objects.store import Entry, ObjectLost, ObjectStore, StoreUnavailable

log = logs.Logger()

NAME = "owner.json"
"""The only object with a name that does not identify its bytes; it is read each time."""

PUT_SECONDS, DELETE_SECONDS = 60.0, 1.0
"""Age at which the name is read again before a put, and before a deletion."""


class Owner(NamedTuple):
    """The content of the object: the id of the journal, and for people its home and when it became the owner."""

    journal: str
    home: str
    since: str


class NotOwner(StoreUnavailable):
    """Raised when the prefix belongs to another home."""


class OwnerUnknown(StoreUnavailable):
    """Raised when the object can't be understood."""


def read(store: ObjectStore) -> Owner | None:
    """The owner of a prefix; None if it has none yet. Raises OwnerUnknown, StoreUnavailable."""
    try:
        return Owner(**json.loads(store.read(NAME)))
    except ObjectLost:
        return None
    except (ValueError, TypeError):
        hint = "If no other home uses this prefix, `retraind claim` writes it again."
        raise OwnerUnknown(f"{NAME} in {store.place} is damaged, so its owner is unknown.", hint=hint) from None


def write(store: ObjectStore, journal: str, home: Home) -> None:
    """Name the owner of a prefix; raises StoreUnavailable."""
    owner = Owner(journal, f"{socket.gethostname()}:{home.root}", datetime.now(UTC).isoformat(timespec="seconds"))
    store.put(NAME, json.dumps(owner._asdict()).encode())


def require(store: ObjectStore, journal: str) -> bool:
    """Whether the prefix has an owner yet; raises NotOwner if it is another journal, StoreUnavailable."""
    owner = read(store)
    if owner is not None and owner.journal != journal:
        hint = "Give this home another storage.url. If the other home is gone for good, run `retraind claim`."
        raise NotOwner(f"{store.place} belongs to the home {owner.home} since {owner.since}.", hint=hint)
    return owner is not None


class OwnedStore:
    """An object store in which only the owner puts and deletes. `journal` is the id of the home's journal."""

    def __init__(self, store: ObjectStore, journal: str, home: Home) -> None:
        self._store, self._journal, self._home = store, journal, home
        self._checking = threading.Lock()
        self._checked_at = float("-inf")

    @property
    def place(self) -> str:
        """The location of the store, for people."""
        return self._store.place

    def check(self) -> None:
        """Raise NotOwner if another home owns the prefix."""
        self._require(0.0)

    def put(self, name: str, source: Path | bytes) -> None:
        """Store an object; see `daemon.objects.store.ObjectStore`. Raises NotOwner."""
        self._require(PUT_SECONDS)
        self._store.put(name, source)

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects; see `daemon.objects.store.ObjectStore`. Raises NotOwner."""
        return sum(self._delete(name) for name in names)

    def _delete(self, name: str) -> int:
        self._require(DELETE_SECONDS)
        return self._store.delete([name])

    def _require(self, seconds: float) -> None:
        """Read the owner unless that was done within the last `seconds`; a prefix without owner gets this one."""
        with self._checking:
            now = time.monotonic()
            if now - self._checked_at < seconds:
                return
            self._checked_at = float("-inf")
            if not require(self._store, self._journal):
                write(self._store, self._journal, self._home)
                require(self._store, self._journal)
                log.info("store_owned", place=self.place)
            self._checked_at = now

    def abort_uploads(self, prefix: str, before: datetime, spared: Collection[str]) -> int:
        """Remove the parts of unfinished puts. Raises NotOwner."""
        self._require(DELETE_SECONDS)
        return self._store.abort_uploads(prefix, before, spared)

    def get(self, name: str, target: Path, sha256: str, *, mode: int = 0o600) -> None:
        """Fetch an object; any home may."""
        self._store.get(name, target, sha256, mode=mode)

    def read(self, name: str) -> bytes:
        """The bytes of a small object; any home may read it."""
        return self._store.read(name)

    def has(self, name: str) -> bool:
        """Whether there is an object with this name."""
        return self._store.has(name)

    def listing(self, prefix: str = "") -> Iterator[Entry]:
        """The objects with names that begin with `prefix`."""
        return self._store.listing(prefix)

    def versioned(self) -> bool:
        """Whether the bucket keeps earlier versions of deleted objects."""
        return self._store.versioned()

    def refuses_overwriting(self, name: str) -> bool:
        """Whether a conditional put of an existing object fails."""
        return self._store.refuses_overwriting(name)

    def close(self) -> None:
        """Close the connections."""
        self._store.close()
