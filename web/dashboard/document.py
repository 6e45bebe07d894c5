"""The document: everything that the dashboard shows, gathered at one moment, as a JSON object."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TypedDict

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import DropState
from retraind.daemon.core.status import Check, Status
from retraind.daemon.records.drops.decided import ExaminedDrop
from retraind.daemon.records.drops.held import HeldDrop
from retraind.daemon.records.records import Records
from retraind.daemon.records.search import open_faults
from retraind.web.dashboard import drift, errors, health, lineage, quick_start, sections
from retraind.web.dashboard.answers import questions
from retraind.web.dashboard.answers.questions import DROPS, Question
from retraind.web.dashboard.drift import ShownDrift
from retraind.web.dashboard.errors import Confusion, Errors
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.lineage import Station
from retraind.web.dashboard.pipeline import Pipeline, steps
from retraind.web.dashboard.quick_start import QuickStart
from retraind.web.dashboard.sections import Candidates, Champion, ServiceFigures, VersionEntry
from retraind.web.dashboard.tiles import Verdict
from retraind.web.dashboard.timeline import group_of
from retraind.web.metrics.totals import Summary

EVENTS = 200
"""Number of events that the page uses; /events has the rest."""


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
    stopped: str
    """Why nothing but predictions goes on; empty while a daemon runs."""
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
    return _of(home, records, questions.gather(home, records, status, metrics, settings, checks))


def without_records(
    home: Home, status: Status | None, settings: Settings | None, checks: Mapping[str, Check], error: sqlite3.Error
) -> Document:
    """The page while the records can't be read: it reports that, instead of showing an empty home."""
    return _of(home, questions.no_records(home), questions.without_records(home, status, settings, checks, error))


def _of(home: Home, records: Records, facts: Facts) -> Document:
    tiles = questions.tiles(facts)
    return {
        "at": questions.time_of(facts),
        "verdict": health.verdict(tiles),
        "stopped": health.stopped(facts),
        "tiles": tiles,
        "now": steps(facts),
        **_models(records, facts),
        **_arrivals(facts),
        "events": [{**row, "group": group_of(row["kind"])} for row in records.events.newest(EVENTS)],
        "lineage": lineage.stations(facts, records),
        "service": sections.service(facts),
        "teach": quick_start.commands(home, facts),
    }


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
