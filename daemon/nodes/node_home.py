"""The home of a node: bundles from the object store, a journal of its versions, and the pointer that workers follow."""

import shutil
from collections.abc import Mapping
from typing import Any

import orjson

from retraind.daemon.artifacts.manifest import Pointer, read_pointer
from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import BundleRefused, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.status import utcnow
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.storage.journal import Journal
from retraind.daemon.stored import bundle_files

log = logs.Logger()


class NodeHome:
    """The files that a node changes; only one thread calls the methods, except `prepare`."""

    def __init__(self, home: Home, store: ObjectStore, keep_events: int) -> None:
        """Open the home's own journal, or a new one if the old one can't be used; raises RetraindError."""
        self._home, self._store, self._keep_events = home, store, keep_events
        self._held: int | None = None
        """The version that workers may try on live requests."""
        self._journal = _open(home)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def served(self) -> tuple[int, str] | None:
        """The version and manifest's sha256 in the pointer; None if it can't be read."""
        try:
            pointer = read_pointer(self._home.pointer)
        except BundleRefused as error:
            log.error("pointer_unreadable", reason=str(error))
            return None
        return None if pointer is None else (pointer.version, pointer.manifest)

    def prepare(self, version: int, sha256: str) -> None:
        """Fetch a bundle's missing files, verify all and load it once; a damaged one is fetched again.

        It may run in any thread. Raises StoreUnavailable, RetraindError, OSError.
        """
        bundle_files.prepare(self._store, self._home.bundle(version), sha256)

    def activate(self, version: int, sha256: str, row: Mapping[str, Any]) -> None:
        """Record a prepared version, given its row in the leader's journal, and set the pointer.

        Raises Unavailable, OSError.
        """
        before = self.served()
        last = self._journal.swaps.last()
        with self._journal.together():
            self._journal.versions.copy(row)
            if last is None or last["version"] != version:
                self._journal.swaps.record(version, before[0] if before else None, "The leader's choice.")
        if before != (version, sha256):
            pointer = Pointer(version=version, manifest=sha256, since=utcnow())
            durable.write(self._home.pointer, orjson.dumps(pointer.model_dump()))
            log.info("serving", version=version, previous=before[0] if before else None)

    def hold(self, row: Mapping[str, Any]) -> None:
        """Record a prepared version that waits for a person, given its row in the leader's journal; raises Unavailable."""
        self._journal.versions.copy(row)
        self._held = row["version"]
        log.info("trying", version=self._held)

    def withdraw(self) -> None:
        """No version waits for a person any more; raises Unavailable."""
        self._held = None
        self._journal.versions.keep(self._kept())

    def _kept(self) -> set[int]:
        last = self._journal.swaps.last()
        served = (last["version"], last["previous"]) if last else ()
        return {number for number in (*served, self._held) if number is not None}

    def tidy(self) -> None:
        """Remove versions other than the served, the previous and the held one, and old events; raises Unavailable, OSError."""
        kept = self._kept()
        self._journal.versions.keep(kept)
        self._journal.trim(self._keep_events)
        for folder in self._home.bundles.iterdir():
            if folder.name.isdecimal() and int(folder.name) not in kept:
                shutil.rmtree(folder)


def _open(home: Home) -> Journal:
    try:
        return Journal.open(home.journal)
    except RetraindError as error:
        log.warning("journal_made_again", reason=str(error))
        for path in home.registry.glob(f"{home.journal.name}*"):  # it only has copies
            path.unlink()
        return Journal.open(home.journal)
