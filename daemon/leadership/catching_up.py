"""Catching up: what a home needs besides the normal start when another one has led since it led last, or it never led.

Segments, bundles and git's history are restored by the normal start. The rest of the home's own state is older than the
journal: the pointer, the schema, versions and aliases in MLflow's database, and requests that wait in files.
"""

import orjson

from retraind.daemon.artifacts.manifest import Pointer, read_pointer
from retraind.daemon.core import durable, logs, requests
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import RequestState
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.dataset.git_repository import Repository
from retraind.daemon.leadership import purged_copies
from retraind.daemon.storage.journal import Journal
from retraind.daemon.stored.schema import RECORDED

log = logs.Logger()


def catch_up(home: Home, journal: Journal) -> None:
    """Bring the files of a home up to the journal, before they are opened; raises Unavailable, OSError."""
    _follow_swap(home, journal)
    _discard_schema(home, journal)
    Repository(home, Cache(home.data), lambda sentence: log.warning("repaired", detail=sentence)).catch_up()
    purged_copies.remove(home)
    _end_requests(home, journal)


def _follow_swap(home: Home, journal: Journal) -> None:
    """Point at the version of the journal's last swap; otherwise the pointer would count as a swap not yet recorded."""
    swap = journal.swaps.last()
    if swap is None or _pointed(home) == swap["version"]:
        return
    row = journal.versions.get(swap["version"])
    log.info("pointer_follows", version=swap["version"])
    if row is None:
        durable.remove(home.pointer)
        return
    pointer = Pointer(version=swap["version"], manifest=row["bundle"], since=swap["at"])
    durable.write(home.pointer, orjson.dumps(pointer.model_dump()))


def _pointed(home: Home) -> int | None:
    try:
        pointer = read_pointer(home.pointer)
    except BundleRefused:
        return None
    return None if pointer is None else pointer.version


def _discard_schema(home: Home, journal: Journal) -> None:
    """Remove a schema that is not the last leader's: the normal start fetches a missing one from the store."""
    sha256 = journal.key_values.get(RECORDED)
    if sha256 is not None and home.schema.exists() and durable.sha256(home.schema.read_bytes()) != sha256:
        log.info("schema_follows", sha256=sha256)
        durable.remove(home.schema)


def _end_requests(home: Home, journal: Journal) -> None:
    """Refuse requests that this home or the leader before it took: they may be long out of date, or done in part."""
    waiting = requests.pending(home)
    for request in waiting:
        journal.requests.take(request.id, request.kind, str(request.version or ""), request.at.isoformat())
    for row in journal.requests.queued():  # an answered one may still have its file
        reason = "Another machine has led since this was asked; ask again."
        journal.requests.end(row["id"], RequestState.REFUSED, reason)
    requests.consume(home, *waiting)
