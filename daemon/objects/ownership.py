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
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.objects.store import ObjectLost, ObjectStore, StoreUnavailable
from retraind.daemon.objects.wrapped_store import WrappedStore

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


class OwnedStore(WrappedStore):
    """An object store in which only the owner puts and deletes. `journal` is the id of the home's journal."""

    def __init__(self, store: ObjectStore, journal: str, home: Home) -> None:
        super().__init__(store)
        self._journal, self._home = journal, home
        self._checking = threading.Lock()
        self._checked_at = float("-inf")

    def check(self) -> None:
        """Raise NotOwner if another home owns the prefix."""
        self._require(0.0)

    def put(self, name: str, source: Path | bytes) -> None:
        """Store an object; see `retraind.daemon.objects.store.ObjectStore`. Raises NotOwner."""
        self._require(PUT_SECONDS)
        self._store.put(name, source)

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects; see `retraind.daemon.objects.store.ObjectStore`. Raises NotOwner."""
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
