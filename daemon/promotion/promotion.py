"""Promotion: makes the served bundle follow the alias `champion`, which verdicts, people and late labels move.

The MLflow alias names the version that should serve, `champion.json` the one that does. If a person moves the alias,
the service follows as soon as the bundle has been verified; if it can't be served, the old version stays.
`daemon/promotion/judging.py` judges new versions by the rules of `daemon/gate/rules.py`.
"""

from collections.abc import Collection

from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core import logs, requests
from retraind.daemon.core.errors import BundleRefused, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import swap_history
from retraind.daemon.core.journal_rows import VersionRow
from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import RequestState, VersionState
from retraind.daemon.objects.store import StoreUnavailable
from retraind.daemon.promotion.champion import Champion
from retraind.daemon.promotion.fallback import Fallback
from retraind.daemon.promotion.judging import Judging
from retraind.daemon.promotion.old_versions import OldVersions
from retraind.daemon.promotion.probation import Probation
from retraind.daemon.promotion.servable import deleted, verify
from retraind.daemon.records.search import open_faults
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.stored.bundles import StoredBundles

log = logs.Logger()

KINDS = ("promote", "refuse", "rollback")
"""Kinds of requests that this module answers."""


class Promotion:
    """Requests to promote, refuse or roll back, the live watch, and the pointer; used by the loop thread."""

    def __init__(
        self,
        home: Home,
        settings: Promote,
        journal: Journal,
        models: ModelVersions,
        stored: StoredBundles | None = None,
    ) -> None:
        self.stored = stored or StoredBundles(home)
        self._home, self._settings, self._journal, self.models = home, settings, journal, models
        self._refused_alias: int | None = None
        self._wishes: dict[int, str] = {}
        self._complaints: frozenset[str] = frozenset()
        self._champion = Champion(home, journal, models)
        self._judging = Judging(home, settings, journal, models, self._champion, self.stored)
        self.live = Probation(home, settings, journal)
        self._clearance = OldVersions(home, settings, journal, models, self._champion, self.stored)
        self._fallback = Fallback(home, journal, models, self._champion, self.stored)

    def pointer(self) -> Pointer | None:
        """The pointer to the served version; None also if it can't be read."""
        return self._champion.pointer()

    def served(self) -> tuple[int, str] | None:
        """Number and manifest sha256 of the served version."""
        pointer = self._champion.pointer()
        return None if pointer is None else (pointer.version, pointer.manifest)

    def judge(self) -> bool:
        """Judge the oldest version without a verdict; True if there was one."""
        served = self.pointer()
        return self._judging.judge(None if served is None else served.version)

    # Requests

    def answer(self) -> bool:
        """Carry out the oldest request to promote, refuse or roll back; True if there was one.

        Equal requests right behind it are not carried out again: they get its answer.
        """
        alike = requests.equal_requests([one for one in requests.pending(self._home) if one.kind in KINDS])
        if not alike:
            return False
        with self._journal.together():
            for request in alike:
                detail = str(request.version or "")
                self._journal.requests.take(request.id, request.kind, detail, request.at.isoformat())
        state, detail = self._carry_out(alike[0])
        with self._journal.together():
            for request in alike:
                self._journal.requests.end(request.id, state, detail)
        requests.consume(self._home, *alike)
        return True

    def _carry_out(self, request: requests.Request) -> tuple[RequestState, str]:
        back = request.kind == "rollback"
        version = request.version
        if version is None:
            version = self._earlier() if back else self._champion.challenger()
        if version is None:
            return (
                RequestState.REFUSED,
                f"There is no {'earlier' if back else 'challenger'} version to {request.kind}; name one.",
            )
        row = self._journal.versions.get(version)
        if row is None:
            return RequestState.REFUSED, f"There is no version {version}; `retraind versions` lists them."
        if request.kind == "refuse":
            return self._refuse(row, request.by)
        if request.version is None and row["state"] == VersionState.ROLLED_BACK:
            return (
                RequestState.REFUSED,
                f"The previous version, {version}, was rolled back: {row['reason']} Name it to serve it again.",
            )
        try:
            verify(self._home, version, row["bundle"], self.stored)
            self._champion.choose(version)
        except (BundleRefused, StoreUnavailable) as error:
            return RequestState.REFUSED, str(error)
        except NotFound:
            return RequestState.REFUSED, deleted(version)
        self._refused_alias = None
        self._judging.choose(version)
        wish = swap_history.BY_REQUEST.format(request.kind, request.by)
        if (served := self.pointer()) is None or served.version != version:
            self._wishes[version] = wish
        self._judging.approve(row, wish)
        doubt = open_faults.trained_on_forgotten(self._home.journal, version)
        return RequestState.DONE, f"Version {version} will be served ({request.kind}). {doubt}".rstrip()

    def _earlier(self) -> int | None:
        """The version that a rollback without a number restores; one that late labels took out of service is refused by name."""
        target, last = self._champion.rollback_target(), self._journal.swaps.last()
        if target is not None or last is None or last["previous"] is None:
            return target
        left = self._journal.versions.get(last["previous"])
        return last["previous"] if left is not None and left["state"] == VersionState.ROLLED_BACK else None

    def _refuse(self, row: VersionRow, by: str) -> tuple[RequestState, str]:
        """Refuse the waiting version for a person; its tests on live requests end."""
        if row["state"] != VersionState.HELD:
            return (
                RequestState.REFUSED,
                f"Version {row['version']} is not waiting for a decision: it is {row['state']}.",
            )
        self._judging.decide(row, VersionState.REFUSED, f"By request (refuse, {by}).")
        return RequestState.DONE, f"Version {row['version']} is refused."

    # Serving what the alias says

    def adopt(self) -> bool:
        """Make the pointer follow the alias; True if there was something to do."""
        chosen = self._champion.chosen()
        served = self.pointer()
        if served is not None and self._champion.make_up(served):
            return True
        if served is not None:
            self._judging.supersede(served.version)
        if chosen is None or (served is not None and chosen == served.version) or chosen == self._refused_alias:
            return False
        row = self._journal.versions.get(chosen)
        if row is None and self._judging.is_pending(chosen):
            return False  # its verdict could not be recorded, so it is judged again
        try:
            if row is None:
                raise BundleRefused(f"The journal knows no bundle of version {chosen}.")
            verify(self._home, chosen, row["bundle"], self.stored)
        except BundleRefused as error:
            self._refused_alias = chosen
            self._fallback.mark_unservable(chosen, str(error))
            return True
        before = self._before(served)
        if chosen == before and row["state"] in (VersionState.PROMOTED, VersionState.ROLLED_BACK):
            self._serve(chosen, row["bundle"], before, "The pointer was missing or unreadable.")
            return True
        reason = self._wishes.pop(chosen, "") or self._why(row, before)
        self._judging.approve(row, reason)
        self._serve(chosen, row["bundle"], before, reason)
        return True

    def _before(self, served: Pointer | None) -> int | None:
        """The version served until now; without a readable pointer the journal tells it."""
        if served is not None:
            return served.version
        last = self._journal.swaps.last()
        return None if last is None else int(last["version"])

    def _why(self, row: VersionRow, before: int | None) -> str:
        """The reason for a swap without a request."""
        left = None if before is None else self._journal.versions.get(before)
        if left is not None and left["state"] == VersionState.ROLLED_BACK:
            return f"Version {left['version']} was rolled back: {left['reason']}"
        if row["state"] == VersionState.PROMOTED and not self._journal.swaps.was_served(row["version"]):
            return str(row["reason"])
        if left is not None and left["state"] == VersionState.UNSERVABLE and row["state"] == VersionState.PROMOTED:
            return f"Version {left['version']} can no longer be served: {left['reason']}"
        self._judging.choose(row["version"])
        return "The alias champion was moved by hand."

    def watch(self) -> bool:
        """Choose the previous version if late labels show that a new champion is worse; True if it must be adopted."""
        served, swap = self.pointer(), self._journal.swaps.last()
        if served is None or swap is None or swap["version"] != served.version:
            return False
        row = self._journal.versions.get(served.version)
        # A kill may have happened between the journal and the alias.
        rolled_back = row is not None and row["state"] == VersionState.ROLLED_BACK
        begun = rolled_back and self._journal.swaps.rolled_back_since(served.version)
        reason = str(row["reason"]) if row is not None and begun else self.live.trial()
        if reason is None or swap["previous"] is None or not self._fallback.may_return(swap["previous"]):
            return False
        if not begun:
            self._journal.versions.roll_back(served.version, reason)
        self.models.describe(served.version, VersionState.ROLLED_BACK, reason)
        self._champion.choose(swap["previous"])
        return True

    def _serve(self, version: int, sha256: str, before: int | None, reason: str) -> None:
        self._refused_alias = None
        self._champion.serve(version, sha256, before, reason)

    def recover(self) -> None:
        """Record a swap that a kill left unrecorded, replace a damaged served bundle, remove unneeded files."""
        try:
            self._fallback.replace_damaged(self.pointer())
        except StoreUnavailable as error:  # the health says so; the files are fetched when the store is back
            log.error("bundle_not_restored", reason=str(error))
        served = self.pointer()
        if served is None or not self._champion.make_up(served):
            self._champion.name_previous()
        self._clearance.sweep_staging()

    def reconsider(self, complaints: Collection[str]) -> bool:
        """Check the served bundle if workers report a new problem; True if it was damaged and another must be adopted.

        A problem that only a worker has, or that has passed, replaces nothing.
        """
        fresh = not self._complaints.issuperset(complaints)
        replaced = fresh and self._fallback.replace_damaged(self.pointer())
        self._complaints = frozenset(complaints)
        return replaced

    def clear(self, *, training: bool) -> None:
        """Remove files of old versions and killed trainings from `registry/`; `training`: one is making a bundle now."""
        if not training:
            self._clearance.sweep_staging()
        self._clearance.clear()
