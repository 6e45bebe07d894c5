"""The checks of a home's service as its files tell of them, and the page's answers that rest on these."""

import sqlite3

from retraind.daemon.artifacts import manifest
from retraind.daemon.core import home_integrity, status
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.node import node_status
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import CheckName
from retraind.daemon.core.status import Check, Status
from retraind.daemon.records.records import Records
from retraind.web.dashboard.answers import questions
from retraind.web.dashboard.answers.questions import Question
from retraind.web.metrics import totals


def answers(home: Home, settings: Settings) -> list[Question]:
    """The answers of the page to its questions, without the rest of it."""
    state, figures = status.read(home.status), totals.collect(home)
    checks, records = read(home, state, figures), Records(home)
    try:
        summary = totals.summary(figures, records.totals.counts(), state, 0.0)
        return questions.tiles(questions.gather(home, records, state, summary, settings, checks))
    except sqlite3.Error as error:
        return questions.tiles(questions.without_records(home, state, settings, checks, error))


def read(home: Home, state: Status | None, figures: totals.Totals) -> dict[str, Check]:
    """The checks that GET /health makes, as far as they can be made from outside of a worker."""
    checks: dict[str, Check] = dict(state.checks) if state and state.alive else {}
    checks[CheckName.MODEL.value] = _model(home)
    checks[CheckName.WORKER.value] = _workers(figures)
    if home.node.exists():
        checks[CheckName.NODE.value] = node_status.check(node_status.read(home.node))
    elif state is None or not state.alive:
        checks[CheckName.DAEMON.value] = Check(ok=False, detail="It does not run: `retraind run` starts it.")
    damage = {CheckName.DISK: home_integrity.disk(home), CheckName.JOURNAL: home_integrity.journal(home)}
    checks |= {str(name): Check(ok=False, detail=detail) for name, detail in damage.items() if detail}
    return checks


def _model(home: Home) -> Check:
    try:
        pointer = manifest.read_pointer(home.pointer)
    except RetraindError as error:
        return Check(ok=False, detail=str(error))
    if pointer is None:
        return Check(ok=False, detail="No version has been promoted yet.")
    return Check(ok=True, detail=f"Version {pointer.version} since {pointer.since}.")


def _workers(figures: totals.Totals) -> Check:
    """Whether an HTTP worker lives: it publishes its counters every second, and the kernel drops the lock of a dead one."""
    live = figures.live
    if not live:
        return Check(
            ok=False, detail="No HTTP worker has reported for 5 s: predictions are not answered. See the service's log."
        )
    problems = [worker.problem for worker in live if worker.problem]
    if problems:
        return Check(ok=False, detail=problems[0])
    return Check(ok=True, detail=f"{len(live)} HTTP {'worker answers' if len(live) == 1 else 'workers answer'}.")
