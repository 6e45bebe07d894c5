"""Judging: gives a verdict to every version that the trainer has registered; people may overrule it.

The bundle gets its final name. Then this process, which did not make it, loads and probes it, and compares its scores.
"""

from pathlib import Path

import orjson

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.core import durable, logs, requests
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import VersionRecord, VersionRow
from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import VersionState
from retraind.daemon.gate import rules
from retraind.daemon.promotion.champion import Champion
from retraind.daemon.records import lineage
from retraind.daemon.registry import baseline
from retraind.daemon.schema.scores import PastScores, Scores
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import ModelVersions, Registered
from retraind.daemon.stored.bundles import StoredBundles

log = logs.Logger()

NAMED = 3
"""Maximum number of drops that a reason names."""


class Judging:
    """Verdicts; used by the loop thread."""

    def __init__(
        self,
        home: Home,
        settings: Promote,
        journal: Journal,
        models: ModelVersions,
        champion: Champion,
        stored: StoredBundles,
    ) -> None:
        self._home, self._settings, self._journal, self._models = home, settings, journal, models
        self._champion, self._stored = champion, stored
        self._seen = 0

    def judge(self, served: int | None) -> bool:
        """Judge the oldest version without a verdict, while `served` serves.

        True if there was one with its bundle in the store.
        """
        for version in self._models.versions(after=self._seen):
            if self._journal.versions.get(version.version) is None and version.bundle is not None:
                folder = self._name_bundle(version)
                if not folder.exists():  # a leader on another machine has put it, and did not come to its verdict
                    self._stored.fetch(version.version, version.bundle)
                if not self._stored.is_put(version.version, version.bundle):
                    return False
                self._judge(version, version.bundle, folder, served)
                return True
            self._seen = version.version
        return False

    def is_pending(self, version: int) -> bool:
        """Whether a version that the journal does not know will be judged."""
        return any(
            version_row.version == version and version_row.bundle is not None
            for version_row in self._models.versions(after=version - 1)
        )

    def _judge(self, version: Registered, sha256: str, folder: Path, served: int | None) -> None:
        try:
            manifest = bundle.load(folder, sha256).manifest
            bundle.load_judged(folder, sha256)  # the next challengers are compared with it
        except BundleRefused as error:
            self._record(version.version, _unreadable(version, sha256), VersionState.REFUSED, str(error))
            return
        verdict = self._verdict(manifest.scores, served)
        # The journal's verdict comes last and completes the judging, so a kill before it repeats everything.
        if verdict.state == VersionState.PROMOTED:
            self._champion.choose(version.version)
        elif verdict.state == VersionState.HELD:
            self._champion.hold(version.version)
        reason = verdict.reason
        if verdict.state != VersionState.PROMOTED and served is not None:
            reason += _note_on_forgotten(
                served, version.version, lineage.left_out(self._home, served, manifest.revision)
            )
        self._record(version.version, _facts(version, sha256, manifest), verdict.state, reason)

    def approve(self, version: VersionRow, wish: str) -> None:
        """Record that a person chose to serve a version."""
        if version["state"] != VersionState.PROMOTED:
            self.decide(version, VersionState.PROMOTED, wish)

    def decide(self, version: VersionRow, state: VersionState, wish: str) -> None:
        """Record a person's decision on a version, whatever its verdict was."""
        reason = f"{wish} Before, it was {version['state']}: {version['reason']}"
        self._champion.release(version["version"])
        self._models.describe(version["version"], state, reason)
        self._journal.versions.judge(_undecided(version), state, reason)

    def supersede(self, served: int) -> None:
        """Refuse waiting versions older than the served one; otherwise `retraind promote` would go back to them."""
        for older in self._journal.versions.held(before=served):
            self.decide(older, VersionState.REFUSED, f"Superseded by version {served}.")
        self._champion.name_challenger()

    def choose(self, version: int) -> None:
        """Record that a person chose the served version, so that older ones are no longer a baseline."""
        newest = self._journal.versions.newest(1)[0]["version"]
        self._journal.key_values.put(baseline.CHOSEN, [version, newest])

    def _verdict(self, scores: Scores, served: int | None) -> rules.Verdict:
        compared = scores.get("champion_version")
        if served is not None and compared != served:
            # These rows have been trained on, so the policy alone would not start a training that compares with the
            # other version.
            requests.submit(self._home, "retrain", force=True, by="daemon")
            reason = f"It was compared with version {compared}, but version {served} is served now."
            return rules.Verdict(VersionState.REFUSED, f"{reason} Another training will compare with version {served}.")
        return rules.judge(scores, self._settings, self._past())

    def _past(self) -> dict[int, PastScores]:
        """Scores of the candidates for the baseline: the last versions promoted since a person chose one."""
        rows = baseline.versions(self._journal, self._settings)
        return {row["version"]: orjson.loads(row["scores"]) for row in rows}

    def _name_bundle(self, version: Registered) -> Path:
        """Give the trainer's bundle its final name; a repetition after a crash does nothing."""
        staging, final = self._home.staging(version.run), self._home.bundle(version.version)
        if staging.exists() and not final.exists():
            staging.rename(final)
            durable.fsync_dir(self._home.bundles)
        return final

    def _record(self, version: int, facts: VersionRecord, state: VersionState, reason: str) -> None:
        self._models.describe(version, state, reason)
        self._journal.versions.judge(facts, state, reason)
        log.info(state, version=version, reason=reason)


def _note_on_forgotten(served: int, version: int, names: list[str]) -> str:
    """A note in favour of a version that is not promoted: the served one was trained on drops forgotten since."""
    if not names:
        return ""
    shown = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return f" Version {served} was trained on rows forgotten since ({shown}); `retraind promote {version}` serves this one."


def _facts(version: Registered, sha256: str, manifest: Manifest) -> VersionRecord:
    return {
        "version": version.version,
        "mlflow_run": version.run,
        "bundle": sha256,
        "candidate": manifest.candidate,
        "backend": manifest.backend,
        "revision": manifest.revision,
        "dvc_md5": manifest.dvc_md5,
        "rows": manifest.rows,
        "trained_rows": manifest.trained_rows,
        "trigger": manifest.reason,
        "scores": orjson.dumps(manifest.scores).decode(),
    }


def _unreadable(version: Registered, sha256: str) -> VersionRecord:
    """The record of a version with an unreadable bundle."""
    return {
        "version": version.version,
        "mlflow_run": version.run,
        "bundle": sha256,
        "candidate": "unknown",
        "backend": "unknown",
        "revision": "unknown",
        "dvc_md5": "unknown",
        "rows": 0,
        "trained_rows": 0,
        "trigger": "unknown",
        "scores": "{}",
    }


def _undecided(row: VersionRow) -> VersionRecord:
    """The record of a version before its verdict."""
    return {
        "version": row["version"],
        "mlflow_run": row["mlflow_run"],
        "bundle": row["bundle"],
        "candidate": row["candidate"],
        "backend": row["backend"],
        "revision": row["revision"],
        "dvc_md5": row["dvc_md5"],
        "rows": row["rows"],
        "trained_rows": row["trained_rows"],
        "trigger": row["trigger"],
        "scores": row["scores"],
    }
