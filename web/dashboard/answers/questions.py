"""The questions of the page with their answers, and the facts that they are made of.

Commands ask for these alone, so the rest of the page is not imported here.
"""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from retraind.daemon.artifacts.manifest import MANIFEST, Manifest, Pointer, read_pointer
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import CheckName
from retraind.daemon.core.status import Check, Status
from retraind.daemon.records.records import Records
from retraind.daemon.records.search import acknowledged, open_faults
from retraind.daemon.records.versions import JudgedVersion
from retraind.web.dashboard import drift, health, inbox_files, quality, serving
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.inbox_files import Backlog
from retraind.web.dashboard.tiles import Tile, Verdict
from retraind.web.metrics.totals import Summary

VERSIONS, DROPS, PREDICTIONS = 60, 30, 200
"""Number of entries of each kind that the page uses; /versions and /drops have the rest."""

SWAPS = 100
"""Number of swaps that say which version a rollback restores."""


EMPTY = ".without-records"
"""A folder that no home has: a home there reads as empty."""


class Question(Tile):
    """A tile, with the question that it answers; `id` names it in the page."""

    id: str
    question: str


def time_of(facts: Facts) -> str:
    """The UTC time at which facts were read, in the form of the journal."""
    return facts.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def verdict(facts: Facts) -> Verdict:
    """The state of the service, as the page begins with it."""
    return health.verdict(tiles(facts))


def tiles(facts: Facts) -> list[Question]:
    """The questions of the page with their answers."""
    questions = {
        "healthy": ("Is it healthy?", health.healthy(facts)),
        "serving": ("Which model, and why?", serving.serving(facts)),
        "flowing": ("Is data flowing?", health.flowing(facts)),
        "good": ("Is it still accurate?", quality.good(facts)),
    }
    return [{"id": name, "question": question, **tile} for name, (question, tile) in questions.items()]


def without_records(
    home: Home, status: Status | None, settings: Settings | None, checks: Mapping[str, Check], error: sqlite3.Error
) -> Facts:
    """The facts while the records can't be read: the page reports that, instead of showing an empty home."""
    why = Check(ok=False, detail=f"The records can't be read: {error}.")
    # Another check may give the cause; those that other parts of the page report do not.
    explained = any(not check.ok and name not in health.ELSEWHERE for name, check in checks.items())
    results = checks if explained else {**checks, CheckName.RECORDS.value: why}
    return gather(home, no_records(home), status, {}, settings, results)


def no_records(home: Home) -> Records:
    """Records that read as empty."""
    return Records(Home(home.root / EMPTY))


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
