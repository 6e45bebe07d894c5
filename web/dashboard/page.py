"""The dashboard: one JSON document with all that the page shows, and the page made from it.

The page answers its questions without JavaScript; the script only keeps it up to date and sends two requests.
"""

import math
import os
import re
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

from daemon.artifacts import bundle
from daemon.artifacts.bundle import Manifest, Pointer
from daemon.core import durable
from daemon.core.errors import BundleRefused
from daemon.core.home import Home
from daemon.core.settings import Settings
from daemon.core.states import CheckName, DropState, EventKind
from daemon.core.status import Check, Status
from daemon.records.query import Row
from daemon.records.records import Records
from daemon.schema import score_names
from web.auth.access import LOCAL, Caller
from web.dashboard import drift, health, quality, sections, serving
from web.dashboard.chart import points
from web.dashboard.facts import Facts
from web.dashboard.health import moment
from web.dashboard.pipeline import steps
from web.dashboard.timeline import GROUPS, group_of

VERSIONS, DROPS, EVENTS, PREDICTIONS = 60, 30, 100, 200
"""How many of each the page shows or looks at; the rest is behind /versions, /drops, /events."""

CHARTS = ((720, 40), (340, 12))
"""Width in pixels and most versions of the chart, for wide and for narrow screens."""

UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


def document(
    home: Home,
    records: Records,
    status: Status | None,
    metrics: Mapping[str, Any],
    settings: Settings | None = None,
    checks: Mapping[str, Check] | None = None,
) -> dict[str, Any]:
    """Everything the page shows, JSON-serialisable; `metrics` is the answer of GET /metrics (all keys optional).

    `checks` are those of GET /health; without them, what the daemon says. Raises sqlite3.Error where the records can't be read.
    """
    facts = gather(home, records, status, metrics, settings, checks)
    tiles = _tiles(facts)
    return {
        "at": facts.now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "verdict": health.verdict(tiles),
        "tiles": tiles,
        "now": steps(facts),
        **_models(facts),
        **_arrivals(facts),
        "events": [{**row, "group": group_of(row["kind"])} for row in records.events.newest(EVENTS)],
        "lineage": sections.lineage(facts, records),
        "service": sections.service(facts),
        "teach": sections.teach(home, facts),
    }


def _tiles(facts: Facts) -> list[dict[str, Any]]:
    """The questions of the page with their answers."""
    questions = {
        "healthy": ("Is it healthy?", health.healthy(facts)),
        "serving": ("Which model, and why?", serving.serving(facts)),
        "flowing": ("Is data flowing?", health.flowing(facts)),
        "good": ("Is it still accurate?", quality.good(facts)),
    }
    return [{"id": name, "question": question, **tile} for name, (question, tile) in questions.items()]


def _models(facts: Facts) -> dict[str, Any]:
    return {
        "champion": sections.champion(facts),
        "previous": sections.previous(facts),
        "held": facts.held["version"] if facts.held else None,
        "versions": [sections.version(row, facts) for row in facts.versions],
        "versions_total": sum(facts.counts["versions"].values()),
        "candidates": sections.candidates(facts),
        "confusion": sections.confusion(facts),
        "errors": sections.errors(facts),
        "drift": drift.shown(facts.drift),
    }


def _arrivals(facts: Facts) -> dict[str, Any]:
    drops = facts.counts["drops"]
    return {
        "held_drops": facts.held_drops,
        "held_total": facts.held_total,
        "drops": facts.drops[:DROPS],
        "drops_total": sum(drops.values()) - drops[DropState.FORGOTTEN],
    }


def without_records(
    home: Home, status: Status | None, settings: Settings | None, checks: Mapping[str, Check], error: sqlite3.Error
) -> dict[str, Any]:
    """The page while the records can't be read: it says so, instead of showing a home in which nothing has happened."""
    why = Check(ok=False, detail=f"The records can't be read: {error}.")
    results = checks if any(not check.ok for check in checks.values()) else {**checks, CheckName.RECORDS.value: why}
    return document(home, Records(Home(Path(os.devnull))), status, {}, settings, results)


def gather(
    home: Home,
    records: Records,
    status: Status | None,
    metrics: Mapping[str, Any],
    settings: Settings | None,
    checks: Mapping[str, Check] | None = None,
) -> Facts:
    """Read what the answers depend on."""
    pointer, manifest, problem = _served(home)
    shown = _shown_versions(records, pointer)
    return Facts(
        now=datetime.now(UTC),
        status=status,
        metrics=metrics,
        settings=settings,
        pointer=pointer,
        manifest=manifest,
        problem=problem,
        versions=shown,
        drops=records.drops.newest(DROPS),
        held_drops=records.held.oldest(DROPS),
        held_total=records.held.total(),
        batches=records.batches.newest(1),
        runs=records.runs.newest(10),
        swaps=records.swaps.newest(20),
        confidences=_confidences(records, pointer),
        live=records.versions.live(pointer.version) if pointer else None,
        drift=drift.newest(records, pointer.version if pointer else None, settings or Settings()),
        counts=records.totals.counts(),
        checks=checks if checks is not None else status.checks if status and status.alive else {},
        agreements=records.versions.agreements(pointer.version if pointer else None, [row["version"] for row in shown]),
    )


def _served(home: Home) -> tuple[Pointer | None, Manifest | None, str]:
    # The manifest only: hashing the model's bytes at every refresh is the workers' business, at every swap.
    try:
        pointer = bundle.read_pointer(home.pointer)
    except BundleRefused as error:
        return None, None, str(error)
    if pointer is None:
        return None, None, ""
    path = home.bundle(pointer.version) / bundle.MANIFEST
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
    return [value for value in confidences if value is not None]  # a regression says none


def _shown_versions(records: Records, pointer: Pointer | None) -> list[Row]:
    shown = records.versions.newest(VERSIONS)
    if pointer and all(row["version"] != pointer.version for row in shown):
        champion = records.versions.get(pointer.version)
        shown += [champion] if champion else []
    return shown


# The page


def render(document: Mapping[str, Any], caller: Caller = LOCAL, up: str = "") -> str:
    """The page as HTML, with the buttons that `caller` may use and links that go by way of `up`; every value is escaped."""
    versions = list(reversed(document["versions"]))
    charts = [points(versions, width, most) for width, most in CHARTS]
    now = moment(document["at"])
    template = _pages.get_template("dashboard.html")
    context = {"charts": charts, "groups": list(GROUPS), "kinds": list(EventKind), "caller": caller, "up": up}
    return template.render(**document, **context, ago=lambda at: ago(moment(at), now))


def render_sign_in(goal: str, problem: str, up: str) -> str:
    """The page for signing in, which leads to `goal`; `problem` says what was wrong the last time."""
    return _pages.get_template("sign-in.html").render(goal=goal, problem=problem, up=up)


def render_docs(release: str, up: str) -> str:
    """The page of the HTTP interface; `release` is that of Swagger UI."""
    return _pages.get_template("docs.html").render(release=release, up=up)


def asset(name: str) -> tuple[bytes, str] | None:
    """Bytes and content type of a file of `web/static` by its hashed name, which may be cached for ever; or None."""
    return _assets.get(name)


def asset_name(name: str) -> str:
    """The hashed name of a file of `web/static`; raises KeyError."""
    return _hashed[name]


def ago(at: datetime, now: datetime) -> str:
    """A time relative to `now`, for people: `12 s ago`, `in 3 h`; the script says it in the same words."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 2:
        return "now"
    unit, length = next((unit, length) for unit, length in UNITS if abs(seconds) >= length or length == 1)
    amount = int(abs(seconds) // length)
    return f"{amount} {unit} ago" if seconds > 0 else f"in {amount} {unit}"


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.{digits if abs(value) < 1000 else 0}f}"


def _visible(value: Any) -> Any:
    """Show what would change the look of the text around it: control characters, direction overrides."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", value)


def _stamp(at: str) -> str:
    return f"{at[:10]} {at[11:19]} UTC"


def _load_assets() -> tuple[dict[str, tuple[bytes, str]], dict[str, str]]:
    assets, hashed = {}, {}
    for entry in files("web").joinpath("static").iterdir():
        stem, _, kind = entry.name.rpartition(".")
        if kind in TYPES:
            data = entry.read_bytes()
            hashed[entry.name] = f"{stem}.{durable.sha256(data)[:12]}.{kind}"
            assets[hashed[entry.name]] = (data, TYPES[kind])
    return assets, hashed


_assets, _hashed = _load_assets()
_pages = Environment(
    loader=PackageLoader("web"),
    autoescape=True,
    finalize=_visible,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters |= {"number": _number, "plain": score_names.plain, "stamp": _stamp}
_pages.globals |= {"asset_name": asset_name}
