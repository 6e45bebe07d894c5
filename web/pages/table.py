"""The pages by their paths."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from retraind.web.pages import trends
from retraind.web.pages.drop import drop, rows
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.lists import drops, events, predictions, queue, settings
from retraind.web.pages.predicting import predict, prediction
from retraind.web.pages.version import compare, version, versions


class Page(NamedTuple):
    """A page: the template, the function that makes its content, and the address of that content for programs."""

    template: str
    content: Callable[[PageRequest], Mapping[str, object]]
    data: str = ""
    """Relative to the root of the service, `{key}` is the variable part; the query is appended. Empty without one."""


PAGES: Mapping[str, Page] = {
    "/dashboard/trends": Page("trends.html", trends.content, "trends"),
    "/dashboard/predict": Page("predict.html", predict.content),
    "/dashboard/predictions/<key>": Page("prediction.html", prediction.content, "predictions/{key}"),
    "/dashboard/drops": Page("drops.html", drops.content, "drops"),
    "/dashboard/events": Page("events.html", events.content),
    "/dashboard/predictions": Page("predictions.html", predictions.content, "predictions/history"),
    "/dashboard/queue": Page("queue.html", queue.content, "queue"),
    "/dashboard/settings": Page("settings.html", settings.content, "settings"),
    "/dashboard/versions": Page("versions.html", versions.content, "versions"),
    "/dashboard/versions/<key>": Page("version.html", version.content, "versions/{key}"),
    "/dashboard/compare": Page("compare.html", compare.content, "compare"),
    "/dashboard/drops/<key>": Page("drop.html", drop.content, "drops/{key}"),
    "/dashboard/drops/<key>/rows": Page("drop-rows.html", rows.content, "drops/{key}/rows"),
}
"""Each path of `retraind.web.auth.path_scopes.PAGES` with its page, except the overview, which also works without records.

A function that makes content raises Problem for a missing thing (404) and for a wrong query (400, 422), and sqlite3.Error if
the records can't be read.
"""
