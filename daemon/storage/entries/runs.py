"""Runs: every training, recorded before it starts, and its outcome."""

from collections.abc import Sequence

from sqlalchemy import func, or_, select

from retraind.daemon.core.journal_rows import DropRow, RunRow
from retraind.daemon.core.states import EventKind, Level, RunState
from retraind.daemon.core.status import utcnow
from retraind.daemon.schema.score_names import counted
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.events import record_event
from retraind.daemon.storage.journal_tables import runs

LEVELS = {RunState.TRAINED: Level.INFO, RunState.POSTPONED: Level.WARNING}
"""The level of a run's end, if it is not an error."""


class Runs:
    """Trainings and their outcomes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, reason: str, revision: str, dvc_md5: str, rows: int, batch: int | None = None) -> int:
        """Record a training *before* it starts, so that a training that kills everything is not retried at once."""
        with self._database.writing() as connection:
            values = {"reason": reason, "revision": revision, "dvc_md5": dvc_md5, "rows": rows, "batch": batch}
            values |= {"state": RunState.STARTED, "started_at": utcnow()}
            connection.execute(runs.insert(), values)
            run = int(connection.execute(select(func.max(runs.c.id))).scalar_one())
            record_event(
                connection, EventKind.TRAINING, f"Training {run} on {counted(rows, 'row')}: {reason}.", run=run
            )
        return run

    def end(
        self, run: int, state: RunState, detail: str, *, version: int | None = None, seconds: float | None = None
    ) -> None:
        """Record how a training ended: `trained`, `postponed` (no model can be trained on its rows yet), `failed` or `abandoned`."""
        with self._database.writing() as connection:
            values = {"state": state, "detail": detail, "version": version, "ended_at": utcnow(), "seconds": seconds}
            connection.execute(runs.update().where(runs.c.id == run).values(**values))
            level = LEVELS.get(state, Level.ERROR)
            record_event(
                connection, EventKind(state), f"Training {run} {state}: {detail}", level=level, run=run, version=version
            )

    def open(self) -> list[RunRow]:
        """Runs that have started and not ended."""
        return self._database.typed(RunRow, select(runs).where(runs.c.state == RunState.STARTED).order_by(runs.c.id))

    def failures_in_a_row(self) -> int:
        """The number of newest ended runs in a row without a version."""
        trained = (
            select(func.coalesce(func.max(runs.c.id), 0)).where(runs.c.state == RunState.TRAINED).scalar_subquery()
        )
        ended = select(func.count().label("n")).where(
            runs.c.state.in_((RunState.FAILED, RunState.ABANDONED)), runs.c.id > trained
        )
        return int(self._database.rows(ended)[0]["n"])

    def last(self, state: RunState | None = None, because: Sequence[str] = ()) -> RunRow | None:
        """The newest run; if given, only with this `state`, and with a reason that begins like one of `because`."""
        query = select(runs).order_by(runs.c.id.desc())
        query = query if state is None else query.where(runs.c.state == state)
        begins = [runs.c.reason.startswith(reason, autoescape=True) for reason in because]
        return self._database.first(RunRow, query.where(or_(*begins)) if begins else query)

    def trained_on(self, drop: DropRow) -> bool:
        """Whether any training used the rows of a drop, whatever its outcome."""
        until = drop["forgotten_in"] if drop["forgotten_in"] is not None else 2**62
        saw_it = runs.c.batch.is_(None) | ((runs.c.batch >= drop["batch"]) & (runs.c.batch < until))
        return self._database.one(select(runs.c.id).where(saw_it)) is not None
