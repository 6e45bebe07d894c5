"""Standby: which other version can be served, because its bundle loads and MLflow still has it.

People delete versions in MLflow's pages. The served one is served on then; any other can't be chosen any more.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from daemon.artifacts.bundle import Pointer
from daemon.core import durable, requests
from daemon.core.errors import BundleRefused
from daemon.core.home import Home
from daemon.core.states import ROLLED_BACK
from daemon.promotion.old_versions import verify
from daemon.registry.registry import CHAMPION, Registry
from daemon.storage.journal import Journal

log = structlog.get_logger()


def deleted(version: int) -> str:
    """The sentence for a version that somebody has deleted in MLflow."""
    return f"Version {version} was deleted in MLflow, so it can't be served."


class Standby:
    """Finds versions that can take a place; used by the loop thread."""

    def __init__(self, home: Home, journal: Journal, registry: Registry) -> None:
        self._home, self._journal, self._registry = home, journal, registry

    def replace_damaged(self, served: Pointer | None) -> bool:
        """If the served bundle does not load any more, have another promoted version served, or a new one made; True: so it is.

        The pointer goes last: as long as it names what is damaged, the next look does all of this again.
        """
        objection = None if served is None else self._objection(served.version, served.manifest)
        if served is None or objection is None:
            return False
        self.lament(served.version, objection)
        spare = self._spare()
        self._registry.set_alias(CHAMPION, spare)
        if spare is None:
            requests.submit(self._home, "retrain", force=True, by="daemon")
        durable.remove(self._home.pointer)
        return True

    def lament(self, version: int, reason: str) -> None:
        """Record that a version which should be served can't be, once."""
        found = self._journal.version(version)
        if found is None or (found["state"], found["reason"]) != ("unservable", reason):
            self._journal.mark_unservable(version, reason)
            log.error("unservable", version=version, reason=reason)

    def may_return(self, version: int) -> bool:
        """Whether a version can take its place back."""
        found = self._journal.version(version)
        if found is None or found["state"] in (ROLLED_BACK, "unservable"):
            return False
        objection = self._lack(found)
        if objection is not None:
            self.lament(version, objection)
        return objection is None

    def _spare(self) -> int | None:
        """The newest promoted version that can be served."""
        promoted = (row for row in self._journal.versions() if row["state"] == "promoted")
        return next((row["version"] for row in promoted if self._lack(row) is None), None)

    def _lack(self, found: Mapping[Any, Any]) -> str | None:
        """Why a version can't be chosen; None if it can."""
        if not self._registry.has(found["version"]):
            return deleted(found["version"])
        return self._objection(found["version"], found["bundle"])

    def _objection(self, version: int, sha256: str) -> str | None:
        """Why the bundle of a version can't be served; None if it can."""
        try:
            verify(self._home, version, sha256)
        except BundleRefused as error:
            return str(error)
        return None
