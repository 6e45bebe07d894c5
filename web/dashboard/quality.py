"""Whether the champion is still accurate: the fourth question of the dashboard. Pure functions of facts."""

import math
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Literal, NamedTuple

from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import EventKind, RunState, VersionState
from retraind.daemon.records import live_score
from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema import score_caveats, score_names
from retraind.daemon.schema.scores import Score
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.tiles import Fact, State, Tile, fact, tile

FEW_ROWS = 20
"""A score on fewer held-out rows is not reliable: its 95 % interval is 0.3 wide or more."""
STREAK = 3
"""Number of failures in a row that is not an accident."""
FALL = {"accuracy": 0.05, "r2": 0.1}
"""Fall from an earlier version to the served one that asks for attention, whatever rows judged them.

A fall of accuracy must also be larger than chance explains; R² has no simple interval, so its fall must be larger.
"""
REMEMBERED = timedelta(days=7)
"""Time after which an earlier version's score is no longer compared: a lasting fall is known by then."""
LEAST_ROWS = {"accuracy": FEW_ROWS, "r2": 100}
"""Minimum held-out rows of both scores."""


class _Entry(NamedTuple):
    """The score of a version on `n` held-out rows when it was promoted."""

    version: int
    value: float
    n: int


def good(facts: Facts) -> Tile:
    """Tile of quality: whether the champion scores as when it was promoted, and its inputs resemble its training data."""
    scored, drift = _scored(facts), facts.drift
    counts, among = "not compared yet", ""
    if drift["tested"]:
        counts, among = (
            f"{drift['drifted']:,} of {drift['tested']:,} features drifted",
            f"last {drift['n']:,} predictions",
        )
    notes = [*scored["facts"], fact("input drift", counts, among)]
    if drift["alarm"]:
        return tile("watch", scored["headline"], drift["reason"], notes)
    return {**scored, "facts": notes}


def _scored(facts: Facts) -> Tile:
    """Whether the score holds: on held-out rows, and on late labels for its answers."""
    entry = held_out(facts.champion)
    if entry is None:
        return tile("unknown", "Not measured yet", "There is no version with a score.", _confidence(facts))
    now = latest_score(facts) or entry
    score = score_names.judged(now)
    notes = [
        *_against(entry, now),
        *_before(facts, entry),
        *_dummy(facts),
        *_live(facts),
        *_weakest(now),
        *_confidence(facts),
    ]
    if score is None:
        why = f"The targets of {now['n']:,} held-out rows do not vary enough for a meaningful R²."
        return tile("unknown", "Not measured yet", why, notes)
    headline = f"{score_names.short(now, score)} {title(now)}"
    trouble = _trouble(facts, headline, notes)
    if trouble:
        return trouble
    if now["n"] < FEW_ROWS:
        few = f"Only {now['n']} held-out rows; a reliable score needs {FEW_ROWS}."
        return tile("unknown", headline, few, notes)
    sentence = (
        f"On {now['n']:,} held-out rows; {_doubt(now)}. {'' if facts.live else 'No labels from live use yet.'}".strip()
    )
    fall = _fall(facts, score, now, entry)
    if fall:
        return tile("watch", headline, f"{fall} {sentence}", notes)
    if below := _fall_between(facts, entry):
        return tile("watch", headline, f"{below} {sentence}", notes)
    refused = list(takewhile(lambda row: row["state"] == VersionState.REFUSED, facts.newer))
    refused = [row for row in refused if not facts.acknowledged.version(EventKind.REFUSED, row["version"])]
    if len(refused) >= STREAK:
        many = f"The last {len(refused)} challengers were refused: {refused[0]['reason']}"
        return tile("watch", headline, many, notes)
    return tile("ok", headline, sentence, notes)


def _trouble(facts: Facts, headline: str, notes: list[Fact]) -> Tile | None:
    """A sentence on failing trainings, because without them the score will not improve."""
    ended = [run for run in facts.runs if run["state"] in (RunState.TRAINED, RunState.FAILED)]
    failed = list(takewhile(lambda run: run["state"] == RunState.FAILED, ended))
    failed = [run for run in failed if run["id"] not in facts.acknowledged.runs]
    if not failed:
        return None
    times = f"The last {len(failed)} trainings" if len(failed) > 1 else "The last training"
    state: State = "act" if len(failed) >= STREAK else "watch"
    return tile(state, headline, f"{times} failed: {failed[0]['detail']}", notes)


def _fall(facts: Facts, score: float, now: Score, entry: Score) -> str:
    """The fall of the champion's score since its promotion; empty if there is none, or none that is clear."""
    tolerance = (facts.settings.promote if facts.settings else Promote()).tolerance
    before, usual = score_names.judged(entry), score_names.value(entry)
    # A tolerance of 0.02 has no meaning for errors in the unit of the target.
    alike = score_names.metric(now) == score_names.metric(entry) and score_names.metric(now) not in ("rmse", "mae")
    if before is not None and alike and score_names.gain(now, score, before) < -max(tolerance, 1 / now["n"]):
        moved = "rose" if score_names.metric(now) in score_names.LOWER else "fell"
        shown = score_names.short(entry, before)
        return f"It {moved} from {shown}, by more than promote.tolerance = {tolerance:g}."
    interval = facts.live.get("interval") if facts.live else None
    if interval and usual is not None and interval[1] < usual - tolerance:
        return f"On late labels it is at most {interval[1]:.3f}; at its promotion it was {usual:.3f}."
    return ""


def _fall_between(facts: Facts, entry: Score) -> str:
    """A clear fall from a version that served recently to `entry`, the served one's score; empty without one."""
    figure, now = score_names.deciding(entry), score_names.value(entry)
    if now is None or entry["n"] < LEAST_ROWS[figure]:
        return ""
    falls = [(_least_fall(figure, before, now, entry["n"]), before) for before in _earlier(facts, figure)]
    clear = [fall for fall in falls if fall[1].value - now >= FALL[figure] and fall[0] > 0]
    if not clear:
        return ""
    least, before = max(clear, key=lambda fall: fall[0])
    fall = f"v{before.version} had {before.value:.3f} when it was promoted (n = {before.n:,})"
    fall += f", v{facts.number} had {now:.3f} (n = {entry['n']:,})"
    sure = f", at least {100 * least:.2g} of them not by chance (95 %)" if figure == "accuracy" else ""
    return f"{fall}: {100 * (before.value - now):.0f} points less{sure}. Look at the drops between them."


def _least_fall(figure: str, before: _Entry, now: float, n: int) -> float:
    """The least fall that chance leaves likely: one-sided 95 % bound of a difference of shares (Newcombe, 1998).

    Both scores share most of their rows, so the true bound is rather higher.
    """
    fall = before.value - now
    if figure != "accuracy":
        return fall
    low = live_score.wilson(round(before.value * before.n), before.n, score_names.BOUND)[0]
    high = live_score.wilson(round(now * n), n, score_names.BOUND)[1]
    return fall - math.hypot(before.value - low, high - now)


def _earlier(facts: Facts, figure: str) -> list[_Entry]:
    """The versions that served within the last days before this one, with their scores when they were promoted."""
    since = facts.now - REMEMBERED
    left = {row["previous"] for row in facts.swaps if datetime.fromisoformat(row["at"]) >= since} - {facts.number}
    earlier: list[_Entry] = []
    for row in facts.versions:
        score = held_out(row) if row["version"] in left and row["state"] == VersionState.PROMOTED else None
        value = score_names.value(score)
        if score and value is not None and score_names.deciding(score) == figure and score["n"] >= LEAST_ROWS[figure]:
            earlier.append(_Entry(row["version"], value, score["n"]))
    return earlier


def _doubt(score: Score) -> str:
    """The uncertainty of a score, or its meaning in the unit of the target."""
    if score_names.deciding(score) == "r2":
        return f"RMSE {score_names.plain(score['rmse'])}, MAE {score_names.plain(score['mae'])}"
    low, high = wilson(score["accuracy"], score["n"])
    usual = "" if score_names.metric(score) == "accuracy" else f"accuracy {score['accuracy']:.3f}, "
    return f"{usual}95 % interval {low:.3f} to {high:.3f}"


def _live(facts: Facts) -> list[Fact]:
    if not facts.live:
        return []
    score = score_names.value(facts.live)
    said = "–" if score is None else f"{score:.3f} {title(facts.live)}"
    error = f"RMSE {score_names.plain(facts.live['rmse'])}, " if "rmse" in facts.live else ""
    if "cost" in facts.live:
        error = f"mean cost {score_names.plain(facts.live['cost'])}, "
    return [fact("on late labels", said, f"{error}n = {facts.live['n']:,}")]


def title(score: Score) -> str:
    """The name of the metric by which the gate judges a score."""
    return score_names.TITLES[score_names.metric(score)]


def latest_score(facts: Facts) -> Score | None:
    """The champion's score on the rows that judged the newest challenger, which are more than at its promotion.

    Rows that favoured a version that was later rolled back are weak evidence against its predecessor.
    """
    for row in facts.newer:
        if row["scores"].get("champion_version") == facts.number and row["state"] != VersionState.ROLLED_BACK:
            return held_out(row, "champion")
    return None


def held_out(version: JudgedVersion | None, role: Literal["challenger", "champion"] = "challenger") -> Score | None:
    """The score of `role` in a version's row: on the larger rolling holdout, or else on the reference holdout."""
    return score_names.widest(version["scores"].get(role)) if version else None


def _against(entry: Score, now: Score) -> list[Fact]:
    if entry is now:
        return []
    before = score_names.judged(entry)
    return [fact("at promotion", "–" if before is None else score_names.short(entry, before), f"n = {entry['n']:,}")]


def _before(facts: Facts, entry: Score) -> list[Fact]:
    """The score of the version that served before this one, also if the difference may be chance."""
    previous = facts.swaps[0]["previous"] if facts.swaps and facts.swaps[0]["version"] == facts.number else None
    score = held_out(next((row for row in facts.versions if row["version"] == previous), None))
    value = score_names.judged(score)
    if score is None or value is None or score_names.metric(score) != score_names.metric(entry):
        return []
    return [fact(f"before, v{previous}", score_names.short(score, value), f"n = {score['n']:,}, at its promotion")]


def _dummy(facts: Facts) -> list[Fact]:
    """The score of always giving one answer, on the rows that the champion was promoted on."""
    scores = facts.champion["scores"] if facts.champion else {}
    score, dummy = score_caveats.rolling(scores), score_caveats.rolling_dummy(scores)
    least = score_caveats.dummy_value(score, dummy)
    if score is None or dummy is None or least is None:
        return []
    return [
        fact(
            f"always {score_caveats.dummy_answer(dummy)}",
            score_names.with_name(score, least),
            f"n = {score['n']:,}, at promotion",
        )
    ]


def _weakest(score: Score) -> list[Fact]:
    recall = score.get("recall")
    if not recall:
        return []
    name, share = min(recall.items(), key=lambda entry: entry[1])
    support = (score.get("support") or {}).get(name, 0)
    return [fact("weakest class", f"{name}, recall {share:.3f}", f"n = {support:,}")]


def _confidence(facts: Facts) -> list[Fact]:
    values = facts.confidences
    if not values:
        return []
    return [fact("mean confidence", f"{sum(values) / len(values):.3f}", f"last {len(values):,} predictions")]


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share seen in `n` rows; (0, 1) when n is 0."""
    return live_score.wilson(round(share * n), n) if n > 0 else (0.0, 1.0)
