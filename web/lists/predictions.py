"""The list of predictions, newest first, with their late labels."""

from retraind.daemon.core.home import Home
from retraind.daemon.records.search import history_files, prediction_search
from retraind.daemon.records.search.old_predictions import OldPredictions, PredictionFilter
from retraind.daemon.records.search.pages import Page, Range
from retraind.web.http.problems import Problem
from retraind.web.lists.listing import FORMAT, LIMIT, SINCE, UNTIL, List, limit
from retraind.web.lists.parameters import WRONG, Kind, Parameter, Query, Values, read

INFINITE = float("inf")

PARAMETERS = (
    Parameter("id", "Only predictions whose id is this or begins with it."),
    Parameter("version", "Only predictions of this version.", Kind.WHOLE, low=1),
    Parameter("class", "Only predictions of this class, by its name."),
    Parameter("confidence_from", "Only predictions with this confidence (0 to 1) or more.", Kind.REAL, high=1),
    Parameter("confidence_to", "Only predictions with this confidence (0 to 1) or less.", Kind.REAL, high=1),
    Parameter("prediction_from", "For regression: only this number or more.", Kind.REAL, low=-INFINITE, high=INFINITE),
    Parameter("prediction_to", "For regression: only this number or less.", Kind.REAL, low=-INFINITE, high=INFINITE),
    Parameter("label", "Only predictions with, or without, a late label.", choices=("with", "without")),
    Parameter("caller", "Only predictions for this token; `anonymous` for callers without one."),
    SINCE,
    UNTIL,
    LIMIT,
    Parameter("before", "Only predictions before the one with this id: for the next page, the last of this one."),
    Parameter("below", "Only predictions with a smaller `seq`: for the next page, the last of this one.", Kind.WHOLE),
    Parameter("above", "Only predictions with a larger `seq`: for the page before.", Kind.WHOLE),
    FORMAT,
)

COLUMNS = (
    *("seq", "prediction_id", "timestamp", "model_version", "prediction", "prediction_name", "confidence"),
    *("label", "features", "latency_ms", "caller"),
)


def find(home: Home, query: Query, usual: int = 100, old: OldPredictions | None = None) -> List:
    """The list that a query asks for; raises Problem 400, TooSlow, Unavailable, sqlite3.Error.

    `old` is asked for predictions that are in files, if there are any.
    """
    values = read(query, PARAMETERS)
    old = old if history_files.last_seq(home.journal) else None
    if len({"before", "below", "above"} & values.texts.keys()) > 1:
        raise Problem(WRONG, "Give only one of 'before', 'below' and 'above'.")
    where = Range(limit(values, usual), values.whole("below"), values.whole("above"))
    if before := values.text("before"):
        seq = prediction_search.number_of(home.history, before)
        if seq is None and old is not None and (row := old.find(before)):
            seq = row["seq"]
        where = Range(where.limit, before=seq or 0)
        values = Values({name: text for name, text in values.texts.items() if name != "before"})
        if seq is None:  # an unknown one has nothing before it
            return List("history", "/predictions/history", values, Page([], None, None), COLUMNS, "below", "above")
    page = prediction_search.search(home, _filter(values), where, old)
    return List("history", "/predictions/history", values, page, COLUMNS, "below", "above")


def _filter(values: Values) -> PredictionFilter:
    labels = {"with": True, "without": False}
    return PredictionFilter(
        key=values.text("id"),
        version=values.whole("version"),
        answer=values.text("class"),
        caller=values.text("caller") or None,
        confidence=(values.real("confidence_from"), values.real("confidence_to")),
        value=(values.real("prediction_from"), values.real("prediction_to")),
        since=values.time("from"),
        until=values.time("to", end=True),
        labelled=labels.get(values.text("label")),
    )
