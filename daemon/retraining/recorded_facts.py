"""The facts behind the decision to train, read from the journal."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from retraind.daemon.core.journal_rows import RequestRow, RunRow
from retraind.daemon.core.states import ALARMS, RunState
from retraind.daemon.retraining.policy import Facts
from retraind.daemon.retraining.schedule import Schedule
from retraind.daemon.storage.journal import Journal


class RecordedFacts:
    """The facts of the policy; used by the loop thread.

    `fell` tells why the champion's late labels require a training, if they do.
    """

    def __init__(self, journal: Journal, schedule: Schedule, fell: Callable[[], str | None]) -> None:
        self._journal, self._schedule, self._fell = journal, schedule, fell
        self._facts: Facts | None = None
        self._facts_at = -1
        self._lacking: tuple[int | None, str] | None = None

    def now(self, now: datetime, queued: Sequence[RequestRow] = ()) -> Facts:
        """The facts with these requests; read again only after something was written to the journal."""
        if self._facts is None or self._facts_at != self._journal.writes:
            self._facts_at, self._facts = self._journal.writes, self._recorded()
        return replace(
            self._facts,
            schedule_due=self._schedule.due(self._facts.last_start, now),
            requested=bool(queued),
            forced=any(request["detail"] == "forced" for request in queued),
        )

    def note_lacking(self, detail: str) -> None:
        """Note that the rows of the last run can't be trained on, for the reason `detail`.

        Only new rows, or a restart (settings may differ), try again.
        """
        run = self._journal.runs.last()
        self._lacking = run["batch"] if run else None, detail

    def lacking(self) -> str | None:
        """Why the newest rows can't be trained on, and what to drop; None if they can, or no training has tried."""
        newest = self._journal.batches.committed().batch
        return self._lacking[1] if self._lacking is not None and self._lacking[0] == newest else None

    def _recorded(self) -> Facts:
        """The facts without what depends on the time and on requests."""
        total = self._journal.batches.committed()
        last, trained = self._journal.runs.last(), self._journal.runs.last(RunState.TRAINED)
        last_start, drifted, live_fell = _started(last), self._drifted(), self._fell()
        alarmed = self._journal.runs.last(because=ALARMS) if drifted or live_fell else None
        return Facts(
            rows=total.rows,
            trained_on=None if trained is None else trained["rows"],
            same_rows=last is not None and last["batch"] == total.batch and last["state"] == RunState.TRAINED,
            lacking=self.lacking(),
            last_start=last_start,
            schedule_due=False,
            requested=False,
            forced=False,
            forgotten=trained is not None and self._journal.erasures.any_after(trained["batch"] or 0),
            failures_in_a_row=self._journal.runs.failures_in_a_row(),
            drifted=drifted,
            live_fell=live_fell,
            last_alarm=_started(alarmed),
        )

    def _drifted(self) -> str | None:
        """Why the inputs of the served version differ from its training rows; checks of other versions don't count."""
        swap, check = self._journal.swaps.last(), self._journal.drift_checks.last()
        if swap is None or check is None or check["version"] != swap["version"] or not check["alarm"]:
            return None
        return str(check["reason"])


def _started(run: RunRow | None) -> datetime | None:
    return None if run is None else datetime.fromisoformat(run["started_at"])
