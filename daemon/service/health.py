"""The health board: current failures, by name. A failure is recorded and shown, and all other work continues."""

from collections import defaultdict
from collections.abc import Callable

from retraind.daemon.core import logs
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.states import CheckName, EventKind, Level
from retraind.daemon.core.status import Check
from retraind.daemon.service.heartbeat import Heartbeat
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

MOST_TRACEBACKS = 10
"""Maximum number of logged errors for one name until it recovers: an error's text may contain a count or a time and so
differ at each try."""


class Health:
    """Problems by name of the failing part; used by the loop thread."""

    def __init__(self, heartbeat: Heartbeat, journal: Journal) -> None:
        self._heartbeat, self._journal = heartbeat, journal
        self.problems: dict[CheckName, str] = {}
        self._traced: defaultdict[CheckName, set[tuple[type[Exception], str]]] = defaultdict(set)
        """By name, the errors with a traceback in the log: each is logged once, even if another error came first."""

    def guard(self, name: CheckName, action: Callable[[], object], *, step: str = "", again: str = "") -> bool:
        """Call a function; record and show its failure, and let all other work continue.

        True if it did not fail. `step` is its name in the heartbeat (default: `name`), `again` a sentence on when it is
        retried.
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
        """The check with this name: a failure under it comes first, then an objection; otherwise it is `fine`."""
        objection = self.problems.get(name) or objection
        return Check(ok=objection is None, detail=objection or fine)

    def examine(self, name: CheckName, look: Callable[[], str | None], fine: str) -> Check:
        """The check by an inspection that may fail; its error counts as an objection."""
        try:
            return self.check(name, look(), fine)
        except (OSError, RetraindError) as error:
            return Check(ok=False, detail=str(error))

    def record_event(self, kind: EventKind, message: str, *, level: Level = Level.INFO) -> None:
        """Record an event; if the journal can't be written, log it."""
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
            self.record_event(EventKind.HEALED, f"{name.capitalize()} works again.")
