"""A drop: its outcome with the reason, its rejected rows, its exam, the versions trained on it, and the actions on it."""

from typing import Literal, TypedDict

from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.states import DropState
from retraind.daemon.records.drops.decided import ExaminedDrop
from retraind.daemon.records.drops.held import HeldDrop
from retraind.daemon.records.lineage_chain import TrainedVersions
from retraind.daemon.records.search import lost_rows, open_faults
from retraind.daemon.schema.score_names import counted
from retraind.web.http.problems import Problem
from retraind.web.lists import unread_files
from retraind.web.pages.drop import bad_rows, distributions
from retraind.web.pages.drop.bad_rows import BadRows
from retraind.web.pages.drop.distributions import Distributions
from retraind.web.pages.frame import PageRequest

EVENTS = 50
"""Number of events that are shown."""

SameBytes = tuple[int, str]
"""The id and the name of another drop with the same bytes."""


class Drop(TypedDict):
    """The content of the page: one of `drop` (decided), `held` (a person must decide) or neither (it waits to be read)."""

    name: str
    state: DropState | Literal["held", "waiting"]
    outcome: str
    drop: ExaminedDrop | None
    held: HeldDrop | None
    twin: SameBytes | None
    """The accepted drop that a duplicate repeats."""
    bad: BadRows | None
    distributions: Distributions | None
    """Of an accepted drop."""
    trained: TrainedVersions | None
    events: list[EventRow]
    open: bool
    """Whether it has warnings that no person has acknowledged."""
    acknowledged: str
    """By whom its warnings were acknowledged, and when; empty if they were not."""
    loss: str
    """A remark on an accepted drop that has lost a notable share of its rows; empty for others."""
    effect: str
    """What a request to forget would do; empty if there is nothing to forget."""


def content(request: PageRequest) -> Drop:
    """The drop of the path, by id, sha256 or name; a held one takes precedence. Raises Problem 404 if there is none."""
    records, key = request.records, request.key
    if waiting := records.held.like(key):
        return _held(request, waiting[0])
    drop = records.drops.find(key)
    if drop is None:
        return _unread(request)
    twin = _twin(request, drop)
    trained, waits = records.drops.versions_trained_on(drop), open_faults.waits(request.home.journal, drop["sha256"])
    return {
        "name": drop["name"],
        "state": drop["state"],
        "outcome": _outcome(drop),
        "drop": drop,
        "held": None,
        "twin": twin,
        "bad": bad_rows.first(request.home, drop["bad_file"]) if drop["bad_file"] else None,
        "distributions": distributions.of(request.home, records, drop, request.facts.number),
        "trained": trained,
        "events": records.events.of_drop(drop["sha256"], EVENTS),
        "open": waits,
        "acknowledged": "" if waits else open_faults.acknowledgement(request.home.journal, drop["sha256"]),
        "loss": lost_rows.sentence(drop),
        "effect": _effect(drop, trained) if drop["state"] == DropState.ACCEPTED else "",
    }


def _held(request: PageRequest, held: HeldDrop) -> Drop:
    return {
        "name": held["name"],
        "state": "held",
        "outcome": f"It waits for a decision, because {held['reason']}. None of its {held['rows_read']:,} rows is used.",
        "drop": None,
        "held": held,
        "twin": None,
        "bad": None,
        "distributions": None,
        "trained": None,
        "events": request.records.events.of_drop(held["sha256"], EVENTS),
        "open": False,
        "acknowledged": "",
        "loss": "",
        "effect": "",
    }


def _unread(request: PageRequest) -> Drop:
    """A file that still lies in the inbox; raises Problem 404 if there is none."""
    if not unread_files.has(request.home, request.key):
        hint = "A file that has just been dropped appears once it is decided; the page Drops lists the others."
        raise Problem(404, f"There is no drop {request.key!r:.100}.", hint=hint)
    status = request.facts.status
    problem = status.not_taken.get(request.key) if status else None
    reading = (
        "The daemon reads it once it is no longer written to."
        if request.facts.alive
        else "No daemon runs, so it is not read."
    )
    return {
        "name": request.key,
        "state": unread_files.WAITING,
        "outcome": f"It is not taken: {problem}" if problem else f"It lies in the inbox. {reading}",
        "drop": None,
        "held": None,
        "twin": None,
        "bad": None,
        "distributions": None,
        "trained": None,
        "events": [],
        "open": False,
        "acknowledged": "",
        "loss": "",
        "effect": "",
    }


def _twin(request: PageRequest, drop: ExaminedDrop) -> SameBytes | None:
    """The drop with the same bytes whose rows the dataset has or had, if it is another one."""
    other = request.records.drops.find(drop["sha256"])
    return (other["id"], other["name"]) if other and other["id"] != drop["id"] and other["batch"] else None


def _outcome(drop: ExaminedDrop) -> str:
    """What happened to its rows."""
    match drop["state"]:
        case DropState.ACCEPTED:
            rest = drop["rows_read"] - drop["rows_accepted"]
            less = f"; {rest:,} of {drop['rows_read']:,} are not" if rest else ""
            return (
                f"{counted(drop['rows_accepted'], 'row')} of it are in the dataset since batch {drop['batch']}{less}."
            )
        case DropState.DUPLICATE:
            where = f" since batch {drop['batch']}" if drop["batch"] else ""
            return f"The dataset already had all its good rows{where}, so nothing was added."
        case DropState.FORGOTTEN:
            by = f" by request ({drop['forgotten_by']})" if drop["forgotten_by"] else ""
            return f"It was accepted, and its {counted(drop['rows_accepted'], 'row')} were removed again{by} in batch {drop['forgotten_in']}."
        case DropState.REJECTED:
            by = f" by request ({drop['decided_by']})" if drop["decided_by"] else ""
            return f"None of its rows is used: it was rejected{by}. The file lies in inbox/rejected, with a report. Correct it, or the schema, and drop it again."
    return f"Its state is {drop['state']}."


def _effect(drop: ExaminedDrop, trained: TrainedVersions) -> str:
    """What a request to forget does."""
    removed = [f"{counted(drop['rows_accepted'], 'row')} are removed from the dataset in a new revision"]
    if drop["bad_file"]:
        removed.append("its rejected rows are removed from inbox/rejected")
    if trained["count"]:
        versions = counted(trained["count"], "version")
        removed.append(f"{versions} trained on it stay until a training without it has replaced the served one")
    older = "Earlier revisions and copies still hold the rows; `retraind forget --purge` removes those, too."
    return f"{'; '.join(removed)}. {older} This can't be undone."
