"""The frame of all pages: the state of the service, navigation, and who is signed in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind
from retraind.daemon.records.records import Records
from retraind.daemon.records.search.old_predictions import OldPredictions
from retraind.web.auth.access import LOCAL, Caller
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.health import moment
from retraind.web.dashboard.tiles import Verdict
from retraind.web.pages import navigation, templates


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The data that a page is made from."""

    home: Home
    records: Records
    facts: Facts
    caller: Caller = LOCAL
    key: str = ""
    """The variable part of the path, such as the number of a version."""
    query: Mapping[str, str] = field(default_factory=dict)
    old_predictions: OldPredictions | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is seen."""

    path: str = "/dashboard"
    """Path below the root of the service, percent-encoded, with its query."""
    up: str = ""
    """The relative path from the page to the root of the service."""


OVERVIEW = Place()


def render(
    template: str,
    content: Mapping[str, object],
    at: str,
    verdict: Verdict,
    place: Place = OVERVIEW,
    caller: Caller = LOCAL,
    data: str = "",
    stopped: str = "",
) -> str:
    """A page as HTML: its content within the frame, with the buttons that `caller` may use.

    `verdict` is the state of the service as of the UTC time `at`. `data` is the address of the content for programs,
    relative to the root of the service; empty without one. `stopped` says that no daemon runs; empty while one does.
    """
    now = moment(at)
    frame = {
        "at": at,
        "verdict": verdict,
        "kinds": list(EventKind),
        "caller": caller,
        "data": data,
        "stopped": stopped,
        "ago": lambda time: templates.ago(moment(time), now),
    }
    return templates.render(template, **{**content, **frame, **_links(place)})


def render_problem(status: int, phrase: str, detail: str, hint: str, place: Place) -> str:
    """The page for an error. It has no data of the service, because its reader may lack the scope for that."""
    content = {"status": status, "phrase": phrase, "detail": detail, "hint": hint, "verdict": None, "caller": None}
    return templates.render("problem.html", **content, data="", stopped="", **_links(place))


def _links(place: Place) -> Mapping[str, object]:
    here = place.path.partition("?")[0].strip("/")
    section = navigation.section(here)
    return {"up": place.up, "path": place.path, "here": here, "section": section, "navigation": navigation.ENTRIES}
