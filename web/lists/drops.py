"""The list of drops: decided ones, newest first, or with `state=held` those that wait for a person."""

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState, Hold
from retraind.daemon.records.drops.held import HeldAsDrop, as_drop, held
from retraind.daemon.records.search import drop_search
from retraind.daemon.records.search.drop_search import DropFilter
from retraind.daemon.records.search.pages import Page
from retraind.web.http.problems import Problem
from retraind.web.lists.listing import PLACE, SINCE, UNTIL, List, place
from retraind.web.lists.parameters import WRONG, Kind, Parameter, Query, Values, read

SOURCES = ("file", "http", "label")

PARAMETERS = (
    Parameter("id", "Only the drop with this id, or those whose sha256 begins with this."),
    Parameter("name", "Only drops with this in their name; case does not matter."),
    Parameter("state", "Only drops in this state.", choices=(*DropState, Hold.WAITING)),
    Parameter("source", "Only drops that came as a file, by HTTP, or with late labels.", choices=SOURCES),
    Parameter("rows", "`bad`: only drops that were rejected or had bad rows.", choices=("bad",)),
    Parameter("version", "Only drops that this version was trained on.", Kind.WHOLE, low=1),
    SINCE,
    UNTIL,
    *PLACE,
)

COLUMNS = (
    *("id", "name", "state", "source", "bytes", "rows_read", "rows_accepted", "rows_refused", "rows_duplicate"),
    *("rows_known", "rows_relabelled", "reason", "line", "column", "batch", "revision", "seen_at", "decided_at"),
    *("decided_by", "sha256", "bad_file", "origin"),
)

MOST_HELD = 10_000


def find(home: Home, query: Query, usual: int = 100) -> List:
    """The list that a query asks for; raises Problem 400, TooSlow, sqlite3.Error."""
    values = read(query, PARAMETERS)
    where, chosen = place(values, usual), _filter(values)
    if chosen.version is not None and drop_search.reach(home.journal, chosen.version) is None:
        raise Problem(WRONG, f"There is no version {chosen.version}.", hint="GET /versions lists them.")
    if values.text("state") == Hold.WAITING:
        return List("drops", "/drops", values, Page(_held(home, chosen)[: where.limit], None, None), COLUMNS)
    return List("drops", "/drops", values, drop_search.search(home.journal, chosen, where), COLUMNS)


def _filter(values: Values) -> DropFilter:
    state = values.text("state")
    return DropFilter(
        key=values.text("id"),
        name=values.text("name"),
        state=DropState(state) if state and state != Hold.WAITING else None,
        source=values.text("source") or None,
        version=values.whole("version"),
        since=values.time("from"),
        until=values.time("to", end=True),
        with_bad_rows=values.text("rows") == "bad",
    )


def _held(home: Home, chosen: DropFilter) -> list[HeldAsDrop]:
    """The held drops that fit, longest first; there are few of them."""
    rows = map(as_drop, held(home.journal, MOST_HELD))
    return [
        row
        for row in rows
        if row["sha256"].startswith(chosen.key.lower())
        and chosen.name.lower() in row["name"].lower()
        and (chosen.since or "") <= row["decided_at"]
        and (chosen.until is None or row["decided_at"] < chosen.until)
    ]
