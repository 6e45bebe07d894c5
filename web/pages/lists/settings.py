"""The page of the settings as they are in force: value, origin, meaning, and what a restart would change."""

from collections.abc import Mapping

from retraind.daemon.core.settings import Settings
from retraind.web.lists import settings
from retraind.web.lists.parameters import read
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.lists import form


def content(request: PageRequest) -> Mapping[str, object]:
    """The settings that the query asks for; raises Problem 400 for a wrong query."""
    in_force = settings.find(request.home, request.facts.settings or Settings(), request.query)
    values = read(request.query, settings.PARAMETERS)
    # What stands between backticks is code.
    rows = [{**row, "parts": row["meaning"].split("`")} for row in in_force["settings"]]
    return {
        **in_force,
        "settings": rows,
        "fields": form.fields(settings.PARAMETERS, values),
        "filtered": bool(values.texts),
    }
