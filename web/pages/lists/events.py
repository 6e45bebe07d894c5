"""The page of events: a search form, the events that fit, newest first, and what a person has acknowledged."""

from collections.abc import Mapping

from retraind.web.lists import events
from retraind.web.lists.listing import SHOWN
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.lists import form


def content(request: PageRequest) -> Mapping[str, object]:
    """The events that the query asks for; raises Problem 400 for a wrong query, TooSlow, sqlite3.Error."""
    entries = events.find(request.home, request.query, SHOWN, "newest")
    newest = request.records.events.newest(1)
    return {
        "rows": entries.page.rows,
        # What happens after this page was made is not acknowledged with it.
        "until": newest[0]["id"] if newest else None,
        "fields": form.fields(events.PARAMETERS, entries.values),
        "filtered": form.is_filtered(entries.values),
        "complete": entries.page.complete,
        "links": form.links(entries, order="newest"),
    }
