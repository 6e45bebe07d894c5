"""A version: how it scored, the origin of its data, when it served, and the actions on it."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from retraind.daemon.artifacts import evaluation, manifest
from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.states import VersionState
from retraind.daemon.records.lineage_chain import Chain
from retraind.daemon.records.search import open_faults
from retraind.daemon.schema import score_caveats
from retraind.daemon.schema.scores import Scores
from retraind.web.dashboard import errors, sections
from retraind.web.dashboard.errors import Confusion, WorstClasses, worst_classes
from retraind.web.dashboard.sections import Candidates
from retraind.web.downloads.version_archive import FORMATS
from retraind.web.http import payload
from retraind.web.http.problems import Problem
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.version import evaluation_charts, score_rows
from retraind.web.pages.version.evaluation_charts import Charts
from retraind.web.pages.version.score_rows import ScoreRow

DROPS, EVENTS = 20, 50
"""Number of drops and of events that are shown."""


class Importance(TypedDict):
    """The fall of the score when a feature is shuffled; `share` is of the largest fall."""

    name: str
    fall: float
    share: float


class Actions(TypedDict):
    """The requests that make sense now."""

    serve: bool
    """To serve this version instead of the champion."""
    refuse: bool
    roll_back: int | None
    """The version that a rollback from this one restores."""
    doubt: str
    """That this version was trained on rows that have been forgotten since; empty if it was not."""


class Version(TypedDict):
    """The content of the page."""

    number: int
    chain: Chain
    serves: bool
    champion: int | None
    caveats: list[str]
    forgotten: str
    """That it was trained on rows that have been forgotten since; empty if it was not."""
    left: str
    """How it was taken out of service by a rollback, and when; empty if it was not, or serves again."""
    problem: str
    """Why the files of its bundle can't be trusted; empty if they can."""
    cleared: bool
    """Whether the files that serve it have been removed."""
    details: Manifest | None
    scores: list[ScoreRow]
    evidence: str
    confusion: Confusion | None
    worst: WorstClasses | None
    """Instead of a matrix of too many classes."""
    charts: Charts | None
    importance: list[Importance]
    candidates: Candidates | None
    left_out: Mapping[str, str]
    cut: str
    """A sentence on the candidates that the time budget has cut."""
    parameters: Mapping[str, object]
    events: list[EventRow]
    actions: Actions
    formats: Sequence[str]
    """The formats of a download."""


def content(request: PageRequest) -> Version:
    """The version of the path; raises Problem 404 if there is none."""
    number = payload.whole(request.key, 9) or 0
    chain = request.records.versions.lineage(number, DROPS)
    if chain is None:
        raise Problem(404, f"There is no version {request.key!r:.60}.", hint="The page Versions lists them.")
    folder, scores, facts = request.home.bundle(number), chain["scores"], request.facts
    details, problem = _details(request, chain)
    judged = request.records.versions.get(number)
    confusion = errors.matrix(score_caveats.rolling(scores), details.data_schema.classes if details else [])
    detailed = evaluation.read(folder, details) if details else None
    return {
        "number": number,
        "chain": chain,
        "serves": number == facts.number,
        "champion": facts.number,
        "caveats": score_caveats.of(scores),
        "forgotten": open_faults.trained_on_forgotten(request.home.journal, number),
        "left": sections.left(number, facts),
        "problem": problem,
        "cleared": manifest.cleared(folder),
        "details": details,
        "scores": score_rows.rows(number, scores, chain["live"]),
        "evidence": score_rows.evidence(scores, number),
        "confusion": confusion,
        "worst": worst_classes(confusion),
        "charts": evaluation_charts.of(detailed) if detailed and detailed["n"] else None,
        "importance": _importance(scores),
        "candidates": sections.candidates_of(judged) if judged else None,
        "left_out": scores.get("left_out") or {},
        "cut": cut["sentence"] if (cut := scores.get("cut")) else "",
        "parameters": tuned["parameters"] if (tuned := scores.get("tuned")) else {},
        "events": request.records.events.of_version(number, chain["run"]["id"], EVENTS),
        "actions": _actions(request, chain),
        "formats": FORMATS,
    }


def _details(request: PageRequest, chain: Chain) -> tuple[Manifest | None, str]:
    try:
        return manifest.read_manifest(request.home.bundle(chain["version"]), chain["bundle"]), ""
    except BundleRefused as error:
        return None, str(error)


def _actions(request: PageRequest, chain: Chain) -> Actions:
    facts, serves = request.facts, chain["version"] == request.facts.number
    target = sections.previous(facts) if serves else None
    return {
        "serve": facts.number is not None and not serves and chain["state"] != VersionState.UNSERVABLE,
        "refuse": chain["state"] == VersionState.HELD,
        "roll_back": target,
        "doubt": open_faults.trained_on_forgotten(request.home.journal, target) if target is not None else "",
    }


def _importance(scores: Scores) -> list[Importance]:
    falls = sorted((scores.get("importance") or {}).items(), key=lambda item: -item[1])
    largest = max((fall for _, fall in falls), default=0.0)
    return [
        {"name": name, "fall": fall, "share": max(0.0, fall / largest) if largest > 0 else 0.0} for name, fall in falls
    ]
