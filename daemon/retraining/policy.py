"""The policy of retraining: whether a training should start, and why, as a pure function of facts.

The policy decides and the loop acts; time is an argument, and nothing is read or written here.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from retraind.daemon.core.settings import Retrain
from retraind.daemon.core.states import Trigger
from retraind.daemon.schema.score_names import counted

LONGEST_PAUSE = 3600.0
"""Seconds. The cooldown doubles with each failed training in a row, up to this."""


@dataclass(frozen=True)
class Facts:
    """The facts behind the decision to train; all derived from the journal."""

    rows: int
    """Rows in the newest revision."""
    trained_on: int | None
    """Rows in the revision of the last successful training; None: there was none."""
    same_rows: bool
    """True if the last training had the newest rows and succeeded; a failed one is tried again after the cooldown."""
    last_start: datetime | None
    schedule_due: bool
    requested: bool
    forced: bool
    forgotten: bool = False
    """True if rows of the last successful training have been forgotten since."""
    failures_in_a_row: int = 0
    """The number of last runs in a row that failed or were abandoned."""
    lacking: str | None = None
    """Why the last training found the newest rows insufficient; None if they suffice, or none was tried."""
    drifted: str | None = None
    """Why the inputs of the champion differ from its training rows; None if they don't."""
    live_fell: str | None = None
    """Why the champion scores worse on late labels than on its held-out rows; None if it does not."""
    last_alarm: datetime | None = None
    """When the last training started that one of these two alarms caused."""

    @property
    def new(self) -> int:
        """Rows since the last successful training."""
        return self.rows - (self.trained_on or 0)


def due(facts: Facts, settings: Retrain, now: datetime) -> str | None:
    """Why a training should start now, or None."""
    if facts.rows == 0 or not _cooled(facts, settings, now):
        return None
    if facts.forced:
        return Trigger.FORCED
    if facts.same_rows or facts.lacking:
        return None
    if facts.forgotten:
        return Trigger.FORGOTTEN
    return _requested_or_due(facts, settings) or _scheduled(facts, settings) or _alarmed(facts, settings, now)


def needed(trained_on: int | None, settings: Retrain) -> int:
    """The number of new rows that start a training: the threshold, or the share of the earlier rows if that is more.

    0 if rows alone start none (`retrain.threshold_rows = 0`).

    With a fixed number, the n-th training would have n times the rows of the first, so the total cost would grow with
    the square of the rows. With growth by a share g, it stays below (1 + g) / g times the cost of the last training.
    """
    if settings.threshold_rows == 0:
        return 0
    return max(settings.threshold_rows, math.ceil(round(settings.growth * (trained_on or 0), 6)))


def _requested_or_due(facts: Facts, settings: Retrain) -> str | None:
    new, least = facts.new, needed(facts.trained_on, settings)
    if facts.requested:
        return f"{Trigger.REQUESTED}, {counted(new, 'new row')}"
    if facts.trained_on is None:
        return Trigger.FIRST
    if new < least or least == 0:
        return None
    if least > settings.threshold_rows:
        return f"{counted(new, 'new row')} on {facts.trained_on:,} (retrain.growth = {settings.growth:g})"
    return f"{counted(new, 'new row')} (retrain.threshold_rows = {settings.threshold_rows})"


def _scheduled(facts: Facts, settings: Retrain) -> str | None:
    due = facts.schedule_due and facts.new > 0
    return f"{Trigger.SCHEDULE} {settings.schedule!r}, {counted(facts.new, 'new row')}" if due else None


def _alarmed(facts: Facts, settings: Retrain, now: datetime) -> str | None:
    """The reason from an alarm. Alarms also need new rows, because the same rows would give the same model."""
    if facts.new <= 0 or not _passed(facts.last_alarm, settings.alarm_seconds, now):
        return None
    alarms = {Trigger.DRIFT: settings.drift and facts.drifted, Trigger.LIVE: settings.live and facts.live_fell}
    return next((f"{alarm}: {why} {counted(facts.new, 'new row')}" for alarm, why in alarms.items() if why), None)


def cooled_at(facts: Facts, settings: Retrain) -> datetime | None:
    """When the pause after the last training ends; None before the first training."""
    return None if facts.last_start is None else facts.last_start + timedelta(seconds=_pause(facts, settings))


def _cooled(facts: Facts, settings: Retrain, now: datetime) -> bool:
    return facts.requested or _passed(facts.last_start, _pause(facts, settings), now)


def _pause(facts: Facts, settings: Retrain) -> float:
    """Seconds between the starts of two trainings."""
    doubled = settings.cooldown_seconds * float(2 ** min(facts.failures_in_a_row, 16))
    return min(doubled, max(LONGEST_PAUSE, settings.cooldown_seconds))


def _passed(since: datetime | None, pause: float, now: datetime) -> bool:
    waited = math.inf if since is None else (now - since).total_seconds()
    # A clock that was set back must not stop trainings for that time.
    return waited >= pause or waited < 0
