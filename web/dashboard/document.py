"""The document: everything that the dashboard shows, gathered at one moment, as a JSON object."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypedDict

from pydantic import ValidationError

from retraind.daemon.artifacts.manifest import MANIFEST, Manifest, Pointer, read_pointer
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import CheckName, DropState
from retraind.daemon.core.status import Check, Status
from retraind.daemon.records.drops import ExaminedDrop, HeldDrop
from retraind.daemon.records.records import Records
from retraind.daemon.records.search import acknowledged, open_faults
from retraind.daemon.records.versions import JudgedVersion
from retraind.web.dashboard import drift, errors, health, inbox_files, lineage, quality, quick_start, sections, serving
from retraind.web.dashboard.drift import ShownDrift
from retraind.web.dashboard.errors import Confusion, Errors
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.inbox_files import Backlog
from retraind.web.dashboard.lineage import Station
from retraind.web.dashboard.pipeline import Pipeline, steps
from retraind.web.dashboard.quick_start import QuickStart
from retraind.web.dashboard.sections import Candidates, Champion, ServiceFigures, VersionEntry
from retraind.web.dashboard.tiles import Tile, Verdict
from retraind.web.dashboard.timeline import group_of
from retraind.web.metrics.totals import Summary

VERSIONS, DROPS, EVENTS, PREDICTIONS = 60, 30, 100, 200
"""Number of entries of each kind that the page uses; /versions, /drops and /events have the rest."""

SWAPS = 100
"""Number of swaps that say which version a rollback restores."""


EMPTY = ".without-records"
"""A folder that no home has: a home there reads as empty."""


class Question(Tile):
    """A tile, with the question that it answers; `id` names it in the page."""

    id: str
    question: str


class Models(TypedDict):
    """The page's data on versions."""

    champion: Champion | None
    previous: int | None
    """The version that a rollback restores."""
    previous_doubt: str
    """That this version was trained on rows that have been forgotten since; empty if it was not."""
    held: int | None
    versions: list[VersionEntry]
    versions_total: int
    candidates: Candidates | None
    confusion: Confusion | None
    errors: Errors | None
    drift: ShownDrift


class Arrivals(TypedDict):
    """The page's data on drops."""

    held_drops: Sequence[HeldDrop]
    held_total: int
    drops: Sequence[ExaminedDrop]
    drops_total: int


class ShownEvent(EventRow):
    """An event, and the group of kinds that it belongs to."""

    group: str


class Document(Models, Arrivals):
    """Everything the page shows."""

    at: str
    verdict: Verdict
    tiles: list[Question]
    now: Pipeline
    events: list[ShownEvent]
    lineage: list[Station]
    service: ServiceFigures
    teach: QuickStart


def document(
    home: Home,
    records: Records,
    status: Status | None,
    metrics: Summary,
    settings: Settings | None = None,
    checks: Mapping[str, Check] | None = None,
) -> Document:
    """Everything the page shows, JSON-serialisable; `metrics` is the answer of GET /metrics (all keys optional).

    `checks` are those of GET /health; without them, the daemon's own checks are used. Raises sqlite3.Error if the
    records can't be read.
    """
    facts = gather(home, records, status, metrics, settings, checks)
    tiles = _tiles(facts)
    return {
        "at": time_of(facts),
        "verdict": health.verdict(tiles),
        "tiles": tiles,
        "now": steps(facts),
        **_models(records, facts),
        **_arrivals(facts),
        "events": [{**row, "group": group_of(row["kind"])} for row in records.events.newest(EVENTS)],
        "lineage": lineage.stations(facts, records),
        "service": sections.service(facts),
        "teach": quick_start.commands(home, facts),
    }


def time_of(facts: Facts) -> str:
    """The UTC time at which facts were read, in the form of the journal."""
    return facts.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def verdict(facts: Facts) -> Verdict:
    """The state of the service, as the page begins with it."""
    return health.verdict(_tiles(facts))


def _tiles(facts: Facts) -> list[Question]:
    """The questions of the page with their answers."""
    questions = {
        "healthy": ("Is it healthy?", health.healthy(facts)),
        "serving": ("Which model, and why?", serving.serving(facts)),
        "flowing": ("Is data flowing?", health.flowing(facts)),
        "good": ("Is it still accurate?", quality.good(facts)),
    }
    return [{"id": name, "question": question, **tile} for name, (question, tile) in questions.items()]


def _models(records: Records, facts: Facts) -> Models:
    previous = sections.previous(facts)
    return {
        "champion": sections.champion(facts),
        "previous": previous,
        "previous_doubt": open_faults.trained_on_forgotten(records.journal, previous) if previous is not None else "",
        "held": facts.held["version"] if facts.held else None,
        "versions": [sections.version(row, facts) for row in facts.versions],
        "versions_total": sum(facts.counts["versions"].values()),
        "candidates": sections.candidates(facts),
        "confusion": errors.confusion(facts),
        "errors": errors.regression(facts),
        "drift": drift.shown(facts.drift),
    }


def _arrivals(facts: Facts) -> Arrivals:
    drops = facts.counts["drops"]
    return {
        "held_drops": facts.held_drops,
        "held_total": facts.held_total,
        "drops": facts.drops[:DROPS],
        "drops_total": sum(drops.values()) - drops[DropState.FORGOTTEN],
    }


def without_records(
    home: Home, status: Status | None, settings: Settings | None, checks: Mapping[str, Check], error: sqlite3.Error
) -> Document:
    """The page while the records can't be read: it reports that, instead of showing an empty home."""
    why = Check(ok=False, detail=f"The records can't be read: {error}.")
    # Another check may give the cause; those that other parts of the page report do not.
    explained = any(not check.ok and name not in health.ELSEWHERE for name, check in checks.items())
    results = checks if explained else {**checks, CheckName.RECORDS.value: why}
    return document(home, Records(Home(home.root / EMPTY)), status, {}, settings, results)


def gather(
    home: Home,
    records: Records,
    status: Status | None,
    metrics: Summary,
    settings: Settings | None,
    checks: Mapping[str, Check] | None = None,
) -> Facts:
    """Read the data behind the answers."""
    pointer, manifest, problem = _served(home)
    shown = _shown_versions(records, pointer)
    drops, runs, now = records.drops.newest(DROPS), records.runs.newest(10), datetime.now(UTC)
    champion = next((row for row in shown if pointer and row["version"] == pointer.version), None)
    since = (now - health.WINDOW).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Facts(
        now=now,
        status=status,
        metrics=metrics,
        settings=settings,
        pointer=pointer,
        manifest=manifest,
        problem=problem,
        versions=shown,
        drops=drops,
        held_drops=records.held.oldest(DROPS),
        held_total=records.held.total(),
        batches=records.batches.newest(1),
        runs=runs,
        swaps=records.swaps.newest(SWAPS),
        confidences=_confidences(records, pointer),
        live=records.versions.live(pointer.version) if pointer else None,
        drift=drift.newest(records, pointer.version if pointer else None, settings or Settings()),
        counts=records.totals.counts(),
        acknowledged=acknowledged.among(
            records.journal,
            [row["sha256"] for row in drops],
            [row["id"] for row in runs],
            [row["version"] for row in shown],
        ),
        faults=open_faults.read(records.journal, since, champion["revision"] if champion else None),
        backlog=_backlog(home, records, status),
        checks=checks if checks is not None else status.checks if status and status.alive else {},
        agreements=records.versions.agreements(pointer.version if pointer else None, [row["version"] for row in shown]),
    )


def _backlog(home: Home, records: Records, status: Status | None) -> Backlog:
    """The files that wait, counted by the daemon or, if none runs, here."""
    if status is not None and status.alive:
        return Backlog(status.backlog_files, status.backlog_bytes)
    return inbox_files.backlog(home, records.held.names())


def _served(home: Home) -> tuple[Pointer | None, Manifest | None, str]:
    # The manifest only: workers verify the bytes of the model at every swap.
    try:
        pointer = read_pointer(home.pointer)
    except BundleRefused as error:
        return None, None, str(error)
    if pointer is None:
        return None, None, ""
    path = home.bundle(pointer.version) / MANIFEST
    try:
        data = path.read_bytes()
        if durable.sha256(data) != pointer.manifest:
            return pointer, None, f"{path} is not the manifest that was promoted."
        return pointer, Manifest.model_validate_json(data), ""
    except OSError as error:
        return pointer, None, f"{path} cannot be read: {error.strerror}."
    except ValidationError as error:
        return pointer, None, f"{path} is not a manifest: {error.error_count()} problems."


def _confidences(records: Records, pointer: Pointer | None) -> list[float]:
    confidences = records.predictions.confidences(pointer.version, PREDICTIONS) if pointer else []
    return [value for value in confidences if value is not None]  # None for regression


def _shown_versions(records: Records, pointer: Pointer | None) -> list[JudgedVersion]:
    shown = records.versions.newest(VERSIONS)
    if pointer and all(row["version"] != pointer.version for row in shown):
        champion = records.versions.get(pointer.version)
        shown += [champion] if champion else []
    return shown
