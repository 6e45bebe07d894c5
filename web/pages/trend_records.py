"""Sentences under charts that need the journal's own records: which drop was the worst, and which version fell."""

import math
from collections.abc import Mapping, Sequence

from retraind.daemon.core.home import Home
from retraind.daemon.records.drops import exams
from retraind.daemon.records.drops.exams import TimedExam
from retraind.daemon.records.live_score import wilson
from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema import score_names
from retraind.web.dashboard.health import moment
from retraind.web.dashboard.quality import held_out
from retraind.web.pages.trend_charts import number
from retraind.web.pages.trend_sentences import Clock, short
from retraind.web.trends.asked import Asked, iso


def sentences(home: Home, asked: Asked, versions: Sequence[JudgedVersion], clock: Clock) -> Mapping[str, str]:
    """The sentences by the keys of their charts; `versions` are the newest, newest first. Raises sqlite3.Error."""
    judged = [row for row in versions if asked.begin <= moment(row["judged_at"]).timestamp() < asked.end]
    examined = exams.of_time(home.journal, iso(asked.begin), iso(asked.end))
    return {"exam": worst_drop(examined, clock), "held_out": scored(judged, clock)}


def worst_drop(examined: Sequence[TimedExam], clock: Clock) -> str:
    """The drop that was surely the worst: an error on twenty rows says less than the same on hundreds."""
    few = f"Drops of fewer than {exams.LEAST_ROWS} rows are not compared."
    if not examined:
        return few
    worst = max(examined, key=evidence)
    if not worst["error"]:
        return f"The served version was right on all rows that it was examined on. {few}"
    name = short(worst["name"]) or "a drop without a name (forgotten since, or small ones together)"
    where = f"{name} at {clock(moment(worst['at']).timestamp())}"
    figures = f"an error of {number(worst['error'])} on {worst['n']:,} rows, usually {number(worst['usual'])}"
    if evidence(worst) <= 0:
        return f"No drop was clearly worse than usual; the nearest to it was {where}: {figures}. {few}"
    return f"The worst drop was {where}: {figures}. {few}"


def evidence(exam: TimedExam) -> float:
    """How far the error surely exceeds the usual one (lower end of the 95 % interval); negative if it may not."""
    n, usual = exam["n"], exam["usual"]
    if usual < 1:
        return wilson(round(exam["error"] * n), n)[0] - usual
    return exam["error"] * (1 - 1 / math.sqrt(n)) - usual  # a multiple of the expected error (regression)


def scored(versions: Sequence[JudgedVersion], clock: Clock) -> str:
    """The score of the newest of these versions, that of the served one on the same rows, and the lowest one."""
    scores = [(row, score_names.value(held_out(row))) for row in versions]
    known = [(row, value) for row, value in scores if value is not None]
    if not known:
        return ""
    newest, value = known[0]
    served, before = score_names.value(held_out(newest, "champion")), newest["scores"].get("champion_version")
    beside = "" if served is None or before is None else f", v{before} on the same rows {served:.3f}"
    sentence = f"v{newest['version']} has {value:.3f}{beside}."
    lowest, least = min(known, key=lambda pair: pair[1])
    if lowest is newest:
        return sentence
    return f"{sentence} The lowest was v{lowest['version']} with {least:.3f} at {clock(moment(lowest['judged_at']).timestamp())}."
