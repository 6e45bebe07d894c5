"""The overview: the state of the service and everything behind it, on one page.

It answers its questions without JavaScript; the script only keeps it up to date and sends requests.
"""

from retraind.web.auth.access import LOCAL, Caller
from retraind.web.dashboard.chart import points
from retraind.web.dashboard.document import Document
from retraind.web.dashboard.errors import worst_classes
from retraind.web.dashboard.timeline import GROUPS
from retraind.web.pages import frame
from retraind.web.pages.frame import OVERVIEW, Place

CHARTS = ((720, 40), (340, 12))
"""Width in pixels and maximum number of versions of the chart, for wide and for narrow screens."""


def render(document: Document, caller: Caller = LOCAL, place: Place = OVERVIEW) -> str:
    """The page as HTML, with the buttons that `caller` may use."""
    versions = list(reversed(document["versions"]))
    charts = [points(versions, width, most) for width, most in CHARTS]
    content = {**document, "charts": charts, "groups": list(GROUPS), "worst": worst_classes(document["confusion"])}
    state = document["at"], document["verdict"]
    return frame.render("overview.html", content, *state, place, caller, "dashboard/data", document["stopped"])
