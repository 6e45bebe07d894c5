"""The page of drops: a search form, and the drops that fit, newest first."""

from collections.abc import Mapping

from retraind.daemon.core.states import Hold
from retraind.web.lists import drops
from retraind.web.lists.listing import SHOWN
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.lists import form


def content(request: PageRequest) -> Mapping[str, object]:
    """The drops that the query asks for; raises Problem 400 for a wrong query, TooSlow, sqlite3.Error."""
    entries = drops.find(request.home, request.query, SHOWN)
    values = entries.values
    waiting = values.text("state") == Hold.WAITING
    return {
        "rows": entries.page.rows,
        "waiting": waiting,
        "held_total": request.facts.held_total,
        "fields": form.fields(drops.PARAMETERS, values),
        "filtered": form.is_filtered(values),
        "complete": entries.page.complete,
        "links": form.links(entries),
    }
