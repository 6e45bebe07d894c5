"""The champion: the only code that moves the aliases in MLflow (champion, challenger, previous) and the pointer.

The alias `champion` names the version that should serve, `champion.json` the one that does. A person may move this
alias by hand. The other two aliases follow the journal: `challenger` is the newest held version, `previous` the version
that served before.
"""

import orjson

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import swap_history
from retraind.daemon.core.states import EventKind
from retraind.daemon.core.status import utcnow
from retraind.daemon.records import challenger
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import CHALLENGER, CHAMPION, PREVIOUS, ModelVersions

log = logs.Logger()


class Champion:
    """Aliases and pointer of one home; used by the loop thread. Raises Unavailable while MLflow's database can't be used."""

    def __init__(self, home: Home, journal: Journal, models: ModelVersions) -> None:
        self._home, self._journal, self._models = home, journal, models

    # What should be served

    def chosen(self) -> int | None:
        """The version that should serve."""
        return self._models.alias(CHAMPION)

    def choose(self, version: int | None) -> None:
        """Choose the version to serve once the pointer follows; raises NotFound if it was deleted in MLflow."""
        self._models.set_alias(CHAMPION, version)

    def previous(self) -> int | None:
        """The version that served before, unless it was deleted in MLflow."""
        return self._models.alias(PREVIOUS)

    def rollback_target(self) -> int | None:
        """The version that a rollback restores; None if the served one is the first."""
        served = self.pointer()
        swaps = self._journal.swaps.newest(swap_history.LOOKED_BACK)
        return swap_history.before(swaps, served.version if served else None)

    def in_use(self) -> set[int]:
        """Versions that an alias or the newest swap names."""
        swap = self._journal.swaps.last()
        served = {swap["version"], swap["previous"]} if swap else set()
        aliased = {self._models.alias(alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}
        return {version for version in served | aliased if version is not None}

    # What waits

    def challenger(self) -> int | None:
        """The version that waits for a person."""
        return self._journal.versions.named_by(challenger.WAITING)

    def hold(self, version: int) -> None:
        """Set the alias `challenger` to a version that is about to be held."""
        self._models.set_alias(CHALLENGER, version)

    def release(self, version: int) -> None:
        """Remove the alias `challenger` from a version that will no longer wait; `name_challenger` names the next one."""
        if self._models.alias(CHALLENGER) == version:
            self._models.set_alias(CHALLENGER, None)

    def name_challenger(self) -> None:
        """Set the alias `challenger` by the journal, whatever a kill, an older program or a person has left there."""
        self._name(CHALLENGER, self.challenger())

    # What is served

    def pointer(self) -> Pointer | None:
        """The served version; an unreadable pointer counts as none, and the next adoption rewrites it."""
        try:
            return bundle.read_pointer(self._home.pointer)
        except BundleRefused as error:
            log.error("pointer_unreadable", reason=str(error))
            return None

    def serve(self, version: int, sha256: str, before: int | None, reason: str) -> None:
        """Point at a verified bundle, then record the swap; `before` is the version served until now."""
        pointer = Pointer(version=version, manifest=sha256, since=utcnow())
        durable.write(self._home.pointer, orjson.dumps(pointer.model_dump()))
        log.info("serving", version=version, previous=before)
        if version == before:  # not a swap: a trial by late labels continues, and the previous version stays the same
            self._journal.events.record(
                EventKind.SERVING, f"The pointer to version {version} was rewritten: {reason}", version=version
            )
            return
        self._journal.swaps.record(version, before, reason)
        self.name_previous()

    def make_up(self, served: Pointer) -> bool:
        """Record a swap that happened while the journal could not be written; True if there was one."""
        last = self._journal.swaps.last()
        if last is not None and last["version"] == served.version:
            return False
        self._journal.swaps.record(
            served.version, last["version"] if last else None, "Recorded later than it happened."
        )
        self.name_previous()
        return True

    def withdraw(self) -> None:
        """Remove the pointer: workers keep their loaded model, and the next adoption points at the chosen version."""
        durable.remove(self._home.pointer)

    def name_previous(self) -> None:
        """Set the alias `previous` by the newest swap."""
        last = self._journal.swaps.last()
        self._name(PREVIOUS, None if last is None else last["previous"])

    def _name(self, alias: str, version: int | None) -> None:
        """Move an alias to a version; a version deleted in MLflow gets none."""
        if self._models.alias(alias) == version:
            return
        registered = version is not None and self._models.has(version)
        self._models.set_alias(alias, version if registered else None)
