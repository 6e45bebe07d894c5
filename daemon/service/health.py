"""The health board: what fails now, by name. A failure is recorded and shown, and everything else goes on."""

from collections import defaultdict
from collections.abc import Callable

from daemon.core import logs
from daemon.core.errors import RetraindError
from daemon.core.states import CheckName, EventKind, Level
from daemon.core.status import Check
from daemon.service.heartbeat import Heartbeat
from daemon.storage.journal import Journal

log = logs.Logger()

MOST_TRACEBACKS = 10
"""In the log for one name until it heals: the text of an error may carry a count or a time and differ at each try."""


class Health:
    """Problems by the name of what has them; used by the loop thread."""

    def __init__(self, heartbeat: Heartbeat, journal: Journal) -> None:
        self._heartbeat, self._journal = heartbeat, journal
        self.problems: dict[CheckName, str] = {}
        self._traced: defaultdict[CheckName, set[tuple[type[Exception], str]]] = defaultdict(set)
        """By name, the errors whose traceback is in the log: each is logged once, also where another one failed before it."""

    def guard(self, name: CheckName, action: Callable[[], object], *, step: str = "", again: str = "") -> bool:
        """Do something that may fail: that is recorded and shown, and everything else goes on. True: it did not fail.

        `step` is what the heartbeat calls it (default: `name`), `again` a sentence on when it is tried again.
        """
        try:
            with self._heartbeat.step(step or name.value):
                action()
        except (OSError, RetraindError) as error:
            self._record_failure(name, f"{error} {again}".rstrip())
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is in log and health, and everything else goes on
            self._trace(name, error)
            reason = f"{type(error).__name__}: {error}."
            self._record_failure(
                name, f"{reason} {again.rstrip('.')}; see the log." if again else f"{reason} See the log."
            )
            return False
        self._resolve(name)
        return True

    def check(self, name: CheckName, objection: str | None, fine: str) -> Check:
        """The check of this name: what failed under it comes before what a look objects to; else it is `fine`."""
        objection = self.problems.get(name) or objection
        return Check(ok=objection is None, detail=objection or fine)

    def examine(self, name: CheckName, look: Callable[[], str | None], fine: str) -> Check:
        """The check by a look that may fail: its error says what is wrong as well as an objection does."""
        try:
            return self.check(name, look(), fine)
        except (OSError, RetraindError) as error:
            return Check(ok=False, detail=str(error))

    def record_event(self, kind: EventKind, message: str, *, level: Level = Level.INFO) -> None:
        """Record an event; one that the journal can't take is in the log."""
        try:
            self._journal.events.record(kind, message, level=level)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the journal, the event is in the log
            log.error("event_lost", kind=kind, message=message, reason=str(error))

    def _trace(self, name: CheckName, error: Exception) -> None:
        mark, traced = (type(error), str(error)), self._traced[name]
        if mark not in traced and len(traced) < MOST_TRACEBACKS:
            log.error("failed", what=name.value, exc_info=error)
            traced.add(mark)

    def _record_failure(self, name: CheckName, detail: str) -> None:
        if self.problems.get(name) != detail:
            log.error("problem", what=name.value, detail=detail)
            self.problems[name] = detail

    def _resolve(self, name: CheckName) -> None:
        self._traced.pop(name, None)
        if self.problems.pop(name, None) is not None:
            log.info("healed", what=name.value)
            self.record_event(EventKind.HEALED, f"{name.capitalize()} is in order again.")
