"""The probe of an object store: tests its abilities with an object that is removed afterwards."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core import durable
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.objects.store import ObjectLost, ObjectStore

PREFIX = "probes/"
"""Name of the probe's object; no content has this name, so it never collides with another object."""


class Ability(NamedTuple):
    """One ability of a store; `needed`: retraind can't work without it."""

    sentence: str
    ok: bool
    needed: bool = True


def probe(store: ObjectStore) -> Iterator[Ability]:
    """Put, read, list and delete an object, and examine the bucket; raises StoreUnavailable if it can't go on."""
    data = secrets.token_bytes(1024)
    sha256 = durable.sha256(data)
    name = f"{PREFIX}{sha256}"
    store.put(name, data)
    try:
        yield from _looks(store, name, sha256)
    finally:
        removed = store.delete([name])
    gone = not store.has(name)
    yield Ability("deletes objects" if removed and gone else "does not delete objects", bool(removed) and gone)


def _looks(store: ObjectStore, name: str, sha256: str) -> Iterator[Ability]:
    with tempfile.TemporaryDirectory(prefix="retraind-probe-") as folder:
        read = _works(lambda: store.get(name, Path(folder) / "object", sha256))
    yield Ability("returns a new object at once" if read else "does not return a new object at once", read)
    listed = [entry.name for entry in store.listing(PREFIX)]
    yield Ability("lists it" if name in listed else "does not list a new object at once", name in listed)
    kept = "keeps earlier versions (a purge removes these, too)" if store.versioned() else "keeps no earlier versions"
    yield Ability(kept, ok=True, needed=False)
    refuses = store.refuses_overwriting(name)
    yield Ability(f"conditional puts {'work' if refuses else 'do not work'} (not needed)", refuses, needed=False)


def _works(action: Callable[[], object]) -> bool:
    try:
        action()
    except ObjectLost:
        return False
    return True


def describe(store: ObjectStore) -> str:
    """The store's abilities in one sentence; raises RetraindError if it lacks a needed one."""
    abilities = list(probe(store))
    sentence = f"{store.place}: it {'; '.join(ability.sentence for ability in abilities)}."
    if any(ability.needed and not ability.ok for ability in abilities):
        raise RetraindError(
            sentence, hint="retraind needs a store with all these abilities; check its settings and rights."
        )
    return sentence
