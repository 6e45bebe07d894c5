"""Policies: when to train and whether to promote, as pure functions of facts.

Level 2. A policy proposes, the loop performs; time is an argument, nothing is read or written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from daemon import figures
from daemon.settings import Promote, Retrain

LONGEST_PAUSE = 3600.0
"""Seconds. The cooldown doubles with each training in a row that came to nothing, up to this."""

HOLDOUTS = ("reference", "rolling")


@dataclass(frozen=True)
class Facts:
    """What the decision to train depends on; all derived from the journal."""

    rows: int
    """Rows in the newest revision."""
    trained_on: int | None
    """Rows in the revision that the last successful training saw; None: there was none."""
    same_rows: bool
    """Whether the last training (successful or not) saw the newest rows."""
    last_start: datetime | None
    schedule_due: bool
    requested: bool
    forced: bool
    forgotten: bool = False
    """Whether rows have been forgotten since the last successful training, which may have learnt from them."""
    setbacks: int = 0
    """How many of the last runs in a row failed or were abandoned."""

    @property
    def new(self) -> int:
        """Rows since the last successful training."""
        return self.rows - (self.trained_on or 0)


@dataclass(frozen=True)
class Verdict:
    """What happens to a version, and the sentence that people will read."""

    state: Literal["promoted", "refused", "held"]
    reason: str


def due(facts: Facts, settings: Retrain, now: datetime) -> str | None:
    """Why a training should start now, or None."""
    if facts.rows == 0 or not _cooled(facts, settings, now):
        return None
    new = facts.new
    if facts.forced:
        return "requested, forced"
    if facts.same_rows:
        return None
    if facts.forgotten:
        return "rows were forgotten"
    if facts.requested:
        return f"requested, {new} new rows"
    if facts.trained_on is None:
        return "first model"
    if new >= settings.threshold_rows:
        return f"{new} new rows (retrain.threshold_rows = {settings.threshold_rows})"
    if facts.schedule_due and new > 0:
        return f"schedule {settings.schedule!r}, {new} new rows"
    return None


def _cooled(facts: Facts, settings: Retrain, now: datetime) -> bool:
    if facts.last_start is None or facts.requested:
        return True
    waited = (now - facts.last_start).total_seconds()
    pause = min(settings.cooldown_seconds * 2 ** min(facts.setbacks, 16), max(LONGEST_PAUSE, settings.cooldown_seconds))
    # A clock that was set back must not stop trainings for as long as it was set back.
    return waited >= pause or waited < 0


def judge(scores: Mapping[str, Any], settings: Promote) -> Verdict:
    """The verdict on a challenger; `scores` as in the manifest: challenger and champion on the same held-out rows."""
    challenger, champion = scores["challenger"], scores["champion"]
    objection = _below_floor(challenger, settings)
    if objection is None and champion is not None:
        objection = next(filter(None, (_worse(challenger, champion, name, settings) for name in HOLDOUTS)), None)
    if objection is not None:
        return Verdict("refused", objection)
    reason = _praise(challenger, champion, scores.get("champion_version"))
    if settings.mode == "manual" and champion is not None:
        return Verdict("held", f"{reason} Waiting for `retraind promote` (promote.mode = 'manual').")
    return Verdict("promoted", reason)


def _below_floor(challenger: Mapping[str, Any], settings: Promote) -> str | None:
    if settings.floor == 0:
        return None  # R² can be negative on a few rows; without a floor that is nobody's business
    for name in HOLDOUTS:
        score, found = challenger[name], figures.value(challenger[name])
        if found is not None and found < settings.floor:
            return (
                f"{_title(score)} {found:.4f} on the {name} holdout (n={score['n']}) "
                f"is below promote.floor = {settings.floor}."
            )
    return None


def _worse(challenger: Mapping[str, Any], champion: Mapping[str, Any], name: str, settings: Promote) -> str | None:
    new, old = challenger[name], champion[name]
    now, before = figures.value(new), figures.value(old)
    if now is None or before is None:
        return None
    # One row more or less is no evidence, so it is always allowed, also where it weighs more than the tolerance.
    if before - now > max(settings.tolerance, 1 / new["n"]) + 1e-12:
        return (
            f"{_title(new)} on the {name} holdout falls from {before:.4f} to {now:.4f} "
            f"(n={new['n']}); promote.tolerance = {settings.tolerance}."
        )
    return _forgotten(new, old, name, settings)


def _forgotten(new: Mapping[str, Any], old: Mapping[str, Any], name: str, settings: Promote) -> str | None:
    """The class whose recall falls too far; regression has none."""
    for label, recall in new.get("recall", {}).items():
        allowed = max(settings.recall_tolerance, 1 / new["support"][label]) + 1e-12
        if old["recall"].get(label, 0.0) - recall > allowed:
            return (
                f"Recall of {label!r} on the {name} holdout falls from {old['recall'][label]:.4f} to {recall:.4f} "
                f"(n={new['support'][label]}); promote.recall_tolerance = {settings.recall_tolerance}."
            )
    return None


def _praise(challenger: Mapping[str, Any], champion: Mapping[str, Any] | None, version: int | None) -> str:
    new = challenger["rolling"]
    found = _said(new)
    if champion is None and version is not None:
        return (
            f"Version {version} can't be compared (another target or task, a column that is gone, or damaged): "
            f"{found} on {new['n']} held-out rows."
        )
    if champion is None:
        return f"First version: {found} on {new['n']} held-out rows."
    against = _said(champion["rolling"]).rpartition(" ")[2]
    return f"{found[0].upper()}{found[1:]} against {against} of version {version} on the same {new['n']} held-out rows."


def _said(score: Mapping[str, Any]) -> str:
    found = figures.value(score)
    return f"{figures.TITLES[figures.deciding(score)]} {'unknown' if found is None else format(found, '.4f')}"


def _title(score: Mapping[str, Any]) -> str:
    title = figures.TITLES[figures.deciding(score)]
    return title[0].upper() + title[1:]
