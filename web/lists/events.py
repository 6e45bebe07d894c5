"""The list of events. `GET /events` begins with the oldest, as streams do; pages for people begin with the newest."""

from collections.abc import Collection

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.records.search import event_search
from retraind.daemon.records.search.event_search import EventFilter
from retraind.daemon.records.search.pages import Page, Range
from retraind.web.dashboard.timeline import GROUPS
from retraind.web.http.problems import Problem
from retraind.web.lists.listing import PLACE, SINCE, UNTIL, List, place
from retraind.web.lists.parameters import WRONG, Kind, Parameter, Query, Values, read

PROBLEMS = "problems"

PARAMETERS = (
    Parameter("id", "Only the event with this id.", Kind.WHOLE),
    Parameter("kind", "Only events of this kind.", choices=tuple(EventKind)),
    Parameter("group", "Only events of this group of kinds.", choices=tuple(GROUPS)),
    Parameter(
        "level", "Only events of this level; `problems`: warnings and errors.", choices=(*tuple(Level), PROBLEMS)
    ),
    Parameter("state", "`open`: only warnings and errors that were not acknowledged.", choices=("open",)),
    Parameter("text", "Only events with this in their message; case does not matter."),
    Parameter("drop", "Only events of the drop whose sha256 begins with this."),
    Parameter("run", "Only events of this training.", Kind.WHOLE, low=1),
    Parameter("version", "Only events of this version.", Kind.WHOLE, low=1),
    SINCE,
    UNTIL,
    Parameter("order", "The first entry: the `oldest` (default), or the `newest`.", choices=("oldest", "newest")),
    *PLACE,
)

COLUMNS = (
    "id",
    "at",
    "kind",
    "level",
    "message",
    "drop",
    "batch",
    "run",
    "version",
    "acknowledged_at",
    "acknowledged_by",
)

USUAL = 200


def find(home: Home, query: Query, usual: int = USUAL, order: str = "oldest") -> List:
    """The list that a query asks for; raises Problem 400, TooSlow, sqlite3.Error."""
    values = read(query, PARAMETERS)
    where = place(values, usual)
    if (values.text("order") or order) == "oldest" and where.before is None:
        page = event_search.search(home.journal, _filter(values), Range(where.limit, after=where.after or 0))
        return List("events", "/events", values, Page(page.rows[::-1], None, page.newer, page.complete), COLUMNS)
    page = event_search.search(home.journal, _filter(values), where)
    if order == "oldest":  # the links of this page keep its order
        values = Values({**values.texts, "order": "newest"})
    return List("events", "/events", values, page, COLUMNS)


def _filter(values: Values) -> EventFilter:
    return EventFilter(
        number=values.whole("id"),
        kinds=_kinds(values),
        levels=_levels(values.text("level")),
        text=values.text("text"),
        drop=values.text("drop"),
        run=values.whole("run"),
        version=values.whole("version"),
        since=values.time("from"),
        until=values.time("to", end=True),
        unacknowledged=values.text("state") == "open",
    )


def _kinds(values: Values) -> Collection[EventKind]:
    kind, group = values.text("kind"), values.text("group")
    if kind and group and EventKind(kind) not in GROUPS[group]:
        raise Problem(WRONG, f"Events of the kind {kind!r} are not in the group {group!r}.")
    return [EventKind(kind)] if kind else GROUPS[group] if group else ()


def _levels(level: str) -> Collection[Level]:
    if level == PROBLEMS:
        return (Level.WARNING, Level.ERROR)
    return [Level(level)] if level else ()
