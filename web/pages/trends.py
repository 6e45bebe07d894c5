"""The page of figures over time: charts, each with a sentence, and the table that it is drawn from."""

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

from retraind.daemon.core.trends import series
from retraind.daemon.core.trends.series import Series
from retraind.daemon.records.trends import news, reader
from retraind.daemon.records.trends.reader import MarkRow
from retraind.web.pages import trend_charts, trend_records, trend_sentences
from retraind.web.pages.frame import PageRequest
from retraind.web.pages.trend_charts import CHARTS, Chart
from retraind.web.pages.trend_sentences import Sentences
from retraind.web.trends import answer, asked
from retraind.web.trends.answer import Loaded
from retraind.web.trends.asked import iso

LATE_SECONDS = 150
"""Age of the newest minute beyond which the page says that figures are missing."""

CACHE_SECONDS = 10
"""Figures are stored about as often, so a page that many look at is computed no more often."""

RANGE_NAMES = {"1h": "1 hour", "6h": "6 hours", "24h": "24 hours", "7d": "7 days", "30d": "30 days", "1y": "1 year"}

STEP_NAMES = {"1m": "minute", "5m": "5 minutes", "15m": "15 minutes", "1h": "hour", "6h": "6 hours", "1d": "day"}

MARK_NAMES = {
    "serving": "version",
    "rolled back": "rolled back",
    "rejected": "drop rejected",
    "schema": "schema",
    "leading": "leader",
    "suspicious": "suspicious drop",
    "forgotten": "rows forgotten",
    "drift": "drift",
    "started": "start after a kill",
    "deployed": "release",
    "settings": "settings",
}
"""Words for the kinds of marks."""


class Link(TypedDict):
    """A range of the page."""

    name: str
    text: str
    current: bool


class ShownMark(TypedDict):
    """Something that happened, with the address of its page, if it has one."""

    at: str
    seconds: int
    kind: str
    message: str
    path: str


class TrendsPage(TypedDict):
    """The content of the page."""

    ranges: list[Link]
    range: str
    step: str
    charts: list[Chart]
    missing: list[str]
    """Titles of charts without any figure."""
    times: list[tuple[int, str]]
    """The begins of the steps: seconds since 1970, and as texts in UTC."""
    late: str
    """Why the newest figures are missing; empty if they are not."""
    gaps: list[str]
    """Sentences on times without figures."""
    marks: list[ShownMark]
    csv: str


_recent: dict[tuple[object, ...], TrendsPage] = {}


def content(request: PageRequest) -> TrendsPage:
    """The page for `?range=`; raises Problem 400 for another query, sqlite3.Error if the file can't be read."""
    now = time.time()
    span, values = asked.parse(request.query, now)
    named = values.text("range") or asked.USUAL_RANGE
    key = (request.home.root, named, now // CACHE_SECONDS)
    page = _recent.get(key)
    if page is None:
        clock = trend_sentences.clock(span)
        path = request.home.trends
        loaded = answer.load(path, span)
        recorded = trend_records.sentences(request.home, span, request.facts.versions, clock)
        drops = news.names(request.home.journal, sorted({row["drop"] for row in loaded.marks if row["drop"]}))
        page = _content(loaded, named, _late(path, now), drops, recorded)
        _recent.clear()
        _recent[key] = page
    return page


def _content(
    loaded: Loaded, named: str, late: str, drops: Mapping[str, str], recorded: Mapping[str, str]
) -> TrendsPage:
    table = series.columns(loaded.points, tuple(Series))
    clock = trend_sentences.clock(loaded.asked)
    tell = Sentences(loaded, table, clock, recorded)
    charts = [trend_charts.drawn(kind, table, tell.of(kind.key)) for kind in CHARTS]
    return {
        "ranges": [{"name": name, "text": text, "current": name == named} for name, text in RANGE_NAMES.items()],
        "range": RANGE_NAMES[named].removeprefix("1 "),
        "step": STEP_NAMES[loaded.asked.step],
        "charts": [chart for chart in charts if chart["columns"]],
        "missing": [chart["title"] for chart in charts if not chart["columns"]],
        "times": [(at, clock(at)) for at in loaded.times],
        "late": late,
        "gaps": tell.gaps(),
        "marks": [_mark(row, drops) for row in reversed(loaded.marks)],
        "csv": f"trends?range={named}&format=csv",
    }


def _late(path: Path, now: float) -> str:
    """A sentence if no figures have come for a while; empty if they come."""
    newest = reader.newest(path, now)
    if newest is None:
        return "There are no figures yet. A running daemon stores the first of them within seconds."
    if now - newest < LATE_SECONDS:
        return ""
    return (
        f"The newest figures are of {iso(newest)[:16].replace('T', ' ')} UTC. Since then no daemon has stored any: it does not run, "
        "or its log says why it can't write logs/trends.db."
    )


def _mark(row: MarkRow, drops: Mapping[str, str]) -> ShownMark:
    path = ""
    if row["version"] is not None:
        path = f"dashboard/versions/{row['version']}"
    elif row["drop"]:
        path = f"dashboard/drops/{quote(row['drop'], safe='')}"
    seconds = int(datetime.fromisoformat(row["at"]).timestamp())
    kind = MARK_NAMES.get(row["kind"], row["kind"])
    name = drops.get(row["drop"] or "", "")
    message = f"{name}: {row['message']}" if name and name not in row["message"] else row["message"]
    return {"at": row["at"], "seconds": seconds, "kind": kind, "message": message, "path": path}
