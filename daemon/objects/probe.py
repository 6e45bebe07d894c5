"""The probe of an object store: what it can do, found by doing it with an object that is removed again."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.core import durable
from daemon.core.errors import RetraindError
from daemon.objects.store import ObjectLost, ObjectStore

PREFIX = "probes/"
"""Where the probe's object lies: no content has this name, so it can be in nobody's way."""


class Ability(NamedTuple):
    """One thing that a store does or not; `needed`: retraind can't do without it."""

    sentence: str
    ok: bool
    needed: bool = True


def probe(store: ObjectStore) -> Iterator[Ability]:
    """Put, read, list and delete an object, and look at what the bucket is; raises StoreUnavailable where nothing more can be said."""
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
    yield Ability("gives what was put, at once" if read else "does not give at once what was put", read)
    listed = [entry.name for entry in store.listing(PREFIX)]
    yield Ability("lists it" if name in listed else "does not list at once what was put", name in listed)
    kept = "keeps earlier versions (a purge removes these, too)" if store.versioned() else "keeps no earlier versions"
    yield Ability(kept, ok=True, needed=False)
    refuses = store.refuses_overwriting(name)
    yield Ability(
        f"conditional puts {'work' if refuses else 'do not work'} (nothing needs them)", refuses, needed=False
    )


def _works(action: Callable[[], object]) -> bool:
    try:
        action()
    except ObjectLost:
        return False
    return True


def describe(store: ObjectStore) -> str:
    """What the store does, in one sentence; raises RetraindError where something is missing that is needed."""
    abilities = list(probe(store))
    sentence = f"{store.place}: it {'; '.join(ability.sentence for ability in abilities)}."
    if any(ability.needed and not ability.ok for ability in abilities):
        raise RetraindError(
            sentence, hint="retraind needs a store that does all of it; look at its settings and rights."
        )
    return sentence
