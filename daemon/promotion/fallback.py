"""Fallback: chooses a replacement for a version that can no longer be served."""

from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core import logs, requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.promotion.champion import Champion
from retraind.daemon.promotion.servable import damage, objection
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.stored.bundles import StoredBundles

log = logs.Logger()


class Fallback:
    """Finds replacement versions; used by the loop thread."""

    def __init__(
        self, home: Home, journal: Journal, models: ModelVersions, champion: Champion, stored: StoredBundles
    ) -> None:
        self._home, self._journal, self._models, self._champion = home, journal, models, champion
        self._stored = stored

    def replace_damaged(self, served: Pointer | None) -> bool:
        """If the served bundle no longer loads, choose another promoted version, or request a training.

        True if that was needed. The pointer is removed last: while it names a damaged bundle, the next call repeats all
        of this.
        """
        reason = None if served is None else damage(self._home, served.version, served.manifest, self._stored)
        if served is None or reason is None:
            return False
        self.mark_unservable(served.version, reason)
        spare = self._spare()
        self._champion.choose(spare)
        if spare is None:
            requests.submit(self._home, "retrain", force=True, by="daemon")
        self._champion.withdraw()
        return True

    def mark_unservable(self, version: int, reason: str) -> None:
        """Record once that the chosen version can't be served."""
        row = self._journal.versions.get(version)
        if row is None or (row["state"], row["reason"]) != (VersionState.UNSERVABLE, reason):
            self._journal.versions.mark_unservable(version, reason)
            log.error("unservable", version=version, reason=reason)

    def may_return(self, version: int) -> bool:
        """Whether a version can be served again."""
        row = self._journal.versions.get(version)
        if row is None or row["state"] in (VersionState.ROLLED_BACK, VersionState.UNSERVABLE):
            return False
        reason = objection(self._home, self._models, row, self._stored)
        if reason is not None:
            self.mark_unservable(version, reason)
        return reason is None

    def _spare(self) -> int | None:
        """The newest promoted version that can be served."""
        promoted = (row for row in self._journal.versions.newest() if row["state"] == VersionState.PROMOTED)
        servable = (row for row in promoted if objection(self._home, self._models, row, self._stored) is None)
        return next((row["version"] for row in servable), None)
