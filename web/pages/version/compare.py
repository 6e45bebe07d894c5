"""Two versions side by side: on the same rows, by their records, their candidates, settings and data."""

from collections.abc import Mapping
from typing import NamedTuple, TypedDict

from retraind.daemon.artifacts import judged_rows, manifest
from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.records.lineage_chain import DropsBetween
from retraind.daemon.records.records import Records
from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema.scores import Score
from retraind.web.dashboard import sections
from retraind.web.http import payload
from retraind.web.http.problems import Problem
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.version import same_rows, score_rows
from retraind.web.pages.version.same_rows import SameRows, Side
from retraind.web.pages.version.score_rows import ScoreRow

DROPS = 20
"""Number of drops that are listed on each side."""


class Facts(TypedDict):
    """One of the two versions."""

    number: int
    serves: bool
    state: str
    candidate: str
    reason: str
    judged_at: str
    rows: int
    trained_rows: int
    revision: str
    backend: str
    scores: list[ScoreRow]
    can_serve: bool
    """Whether a person may have it served instead of the champion."""
    forgotten: int
    """Number of drops that it was trained on and that were forgotten since."""


class PairOfCandidates(TypedDict):
    """A candidate in the two trainings; None: it did not take part. `figure` is what cross-validation compared."""

    name: str
    figure: str
    left: float | None
    right: float | None


class Differing(TypedDict):
    """A setting or parameter with its two values."""

    name: str
    left: str
    right: str


class PairOfFalls(TypedDict):
    """The importance of a feature in the two versions; None: unknown there."""

    name: str
    left: float | None
    right: float | None


class Comparison(TypedDict):
    """The content of the page."""

    left: Facts
    right: Facts
    champion: int | None
    same: SameRows | None
    regression: bool
    problem: str
    """Why there is no comparison on the same rows; empty if there is one."""
    evidence: str
    """The paired test of the training, if one was compared with the other then."""
    candidates: list[PairOfCandidates]
    differing: list[Differing]
    added: DropsBetween
    """Drops that only the right version was trained on."""
    removed: DropsBetween
    importance: list[PairOfFalls]


class Version(NamedTuple):
    """A version with its manifest; None if that can't be read."""

    row: JudgedVersion
    details: Manifest | None


def content(request: PageRequest) -> Comparison:
    """The versions of the query, `versions=A,B`."""
    return of(request.home, request.records, request.query, request.facts.number)


def of(home: Home, records: Records, query: Mapping[str, str], served: int | None) -> Comparison:
    """The comparison; raises Problem 422 for a wrong query, and 404 if there is no such version."""
    numbers = [payload.whole(text, 9) for text in query.get("versions", "").split(",")]
    if len(numbers) != 2 or not all(numbers):
        detail = f"'versions' must be two numbers such as 3,4, not {query.get('versions', '')!r:.60}."
        raise Problem(422, detail, errors=[{"field": "versions", "detail": detail}])
    left, right = (_version(home, records, number or 0) for number in numbers)
    same, problem = _same(home, left, right)
    return {
        "left": _facts(home, left, records, served),
        "right": _facts(home, right, records, served),
        "champion": served,
        "same": same,
        "regression": same is not None and "p" not in same,
        "problem": problem,
        "evidence": _evidence(left.row, right.row),
        "candidates": _candidates(left.row, right.row),
        "differing": _differing(left, right),
        "added": records.versions.drops_between(right.row["version"], left.row["version"], DROPS),
        "removed": records.versions.drops_between(left.row["version"], right.row["version"], DROPS),
        "importance": _importance(left.row, right.row),
    }


def _version(home: Home, records: Records, number: int) -> Version:
    row = records.versions.get(number)
    if row is None:
        raise Problem(404, f"There is no version {number}.", hint="The page Versions lists them.")
    try:
        return Version(row, manifest.read_manifest(home.bundle(number), row["bundle"]))
    except BundleRefused:
        return Version(row, None)


def _facts(home: Home, version: Version, records: Records, served: int | None) -> Facts:
    row, chain = version.row, records.versions.lineage(version.row["version"], 1)
    live: Score | None = records.versions.live(row["version"])
    return {
        "number": row["version"],
        "serves": row["version"] == served,
        "state": row["state"],
        "candidate": row["candidate"],
        "reason": row["reason"],
        "judged_at": row["judged_at"],
        "rows": row["rows"],
        "trained_rows": row["trained_rows"],
        "revision": row["revision"],
        "backend": row["backend"],
        "scores": score_rows.own(row["version"], row["scores"], live),
        "can_serve": served not in (None, row["version"])
        and row["state"] != VersionState.UNSERVABLE
        and not manifest.cleared(home.bundle(row["version"])),
        "forgotten": chain["drops"]["forgotten"] if chain else 0,
    }


def _same(home: Home, left: Version, right: Version) -> tuple[SameRows | None, str]:
    """The comparison on the rows that both held out, or why there is none."""
    sides = []
    for version in (left, right):
        number, details = version.row["version"], version.details
        judged = judged_rows.read(home.bundle(number), details) if details else None
        if details is None or judged is None:
            return (
                None,
                f"The answers of v{number} row by row are not kept: an earlier release trained it, or its files were removed.",
            )
        sides.append(Side(judged, details.data_schema))
    shown, beside = sides
    if (shown.schema.task, shown.schema.target) != (beside.schema.task, beside.schema.target):
        return None, "They predict different targets."
    same = same_rows.compare(shown, beside)
    if same is None:
        return None, "No row that both held out is known: their columns differ, or they held out other rows."
    return same, ""


def _evidence(left: JudgedVersion, right: JudgedVersion) -> str:
    for row, other in ((right, left), (left, right)):
        if row["scores"].get("champion_version") == other["version"]:
            return score_rows.evidence(row["scores"], row["version"])
    return ""


def _candidates(left: JudgedVersion, right: JudgedVersion) -> list[PairOfCandidates]:
    fitted = [sections.candidates_of(row) for row in (left, right)]
    scored = [{item["name"]: item["cv"] for item in each["fitted"]} if each else {} for each in fitted]
    figure = next((each["figure"] for each in fitted[::-1] if each), "")
    names = dict.fromkeys([*scored[1], *scored[0]])
    return [
        {"name": name, "figure": figure, "left": scored[0].get(name), "right": scored[1].get(name)} for name in names
    ]


def _differing(left: Version, right: Version) -> list[Differing]:
    """Settings of the training and parameters of the winner that are not the same."""
    here, there = (_settings(version) for version in (left, right))
    return [
        {"name": name, "left": _text(here, name), "right": _text(there, name)}
        for name in dict.fromkeys([*here, *there])
        if here.get(name) != there.get(name)
    ]


def _settings(version: Version) -> dict[str, object]:
    if version.details is None:
        return {}
    details, tuned = version.details, version.row["scores"].get("tuned")
    settings: dict[str, object] = {"candidate": details.candidate}
    settings |= {f"train.{name}": value for name, value in details.settings.items()}
    settings |= {f"tuned {name}": value for name, value in (tuned["parameters"] if tuned else {}).items()}
    settings |= {f"library {name}": value for name, value in details.libraries.items()}
    calibration = version.row["scores"].get("calibration")
    return settings | {"calibration slope": round(calibration["slope"], 4) if calibration else "none"}


def _text(settings: Mapping[str, object], name: str) -> str:
    return str(settings[name]) if name in settings else "–"


def _importance(left: JudgedVersion, right: JudgedVersion) -> list[PairOfFalls]:
    falls, others = (row["scores"].get("importance") or {} for row in (left, right))
    pairs: list[PairOfFalls] = [
        {"name": name, "left": falls.get(name), "right": others.get(name)} for name in dict.fromkeys([*others, *falls])
    ]
    return sorted(pairs, key=lambda pair: -max(pair["left"] or 0.0, pair["right"] or 0.0))
