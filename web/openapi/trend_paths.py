"""The figures over time as a path of an OpenAPI document."""

from retraind.daemon.core.trends.series import Series
from retraind.web.http import payload
from retraind.web.http.reply import JSON
from retraind.web.lists import parameters
from retraind.web.openapi.operations import answer, operation, query
from retraind.web.openapi.schemas import COUNT, MOMENT, NUMBER, TEXT, Json, array, maybe, record, table
from retraind.web.trends import asked

SERIES = f"^(({'|'.join(Series)})(,({'|'.join(Series)}))*)?$"


def paths(tag: str) -> dict[str, Json]:
    """The path of the figures over time."""
    described = [
        query(one.name, parameters.schema(one), one.meaning) for one in asked.FILTERS if one is not asked.SERIES
    ]
    series = query("series", {"type": "string", "pattern": SERIES}, asked.SERIES.meaning)
    answers = {
        200: answer(
            "A number for each series and step; null where it is not known.", {JSON: _trends(), payload.CSV: TEXT}
        )
    }
    return {"/trends": {"get": operation(tag, "Figures over time, as JSON or CSV", answers, (), [*described, series])}}


def _trends() -> Json:
    mark = {"at": MOMENT, "kind": TEXT, "message": TEXT, "version": maybe(COUNT), "drop": maybe(TEXT)}
    lists = {"at": array(MOMENT), "watched": array(NUMBER), "series": table(array(maybe(NUMBER)))}
    marks = array(record("Something that happened.", mark))
    return record("Figures over time.", {"step": TEXT, "seconds": COUNT, **lists, "marks": marks, "count": COUNT})
