"""The four questions of the dashboard and their answers: healthy, which model, data flowing, still good.

Pure functions of facts. A state is a word, a shape and a colour; `unknown` is a state of its own and never counts as good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from daemon import figures, live
from daemon.bundle import Manifest, Pointer
from daemon.settings import Promote, Settings
from daemon.status import Status

Row = dict[str, Any]
Answer = dict[str, Any]

STATES = {"ok": ("✔", "OK"), "watch": ("▲", "WATCH"), "act": ("✖", "ACT"), "unknown": ("?", "UNKNOWN")}
"""State to shape and word; the style sheet adds the colour."""

WINDOW = timedelta(hours=24)
"""Drops older than this do not make the data flow look bad."""
QUIET = timedelta(days=7)
"""No accepted rows for longer than this is worth a look: nobody says how often data should come."""
FEW_ROWS = 20
"""A score on fewer held-out rows than this says nothing: its 95 % interval spans 0.3 and more."""
STREAK = 3
"""So many failures in a row are no accident."""
ERROR_SHARE = 0.01
REJECTED_SHARE = 0.05


@dataclass(frozen=True)
class Facts:
    """What the answers are derived from; lists are newest first."""

    now: datetime
    status: Status | None
    metrics: Mapping[str, Any]
    settings: Settings | None
    pointer: Pointer | None
    manifest: Manifest | None
    problem: str
    """Why the pointer or the bundle it names cannot be trusted; empty if nothing is wrong."""
    versions: Sequence[Row]
    drops: Sequence[Row]
    batches: Sequence[Row]
    runs: Sequence[Row]
    swaps: Sequence[Row]
    confidences: Sequence[float]
    """Of the champion's last predictions; none for regression."""
    live: Row | None
    """The champion's score on late labels (see `daemon.live`); None before the first."""
    drift: Mapping[str, Any]
    """The newest check for drift (see `web.drift`)."""
    counts: Mapping[str, Mapping[str, int]]
    agreements: Mapping[int, Row]
    """How far versions that were held agree with the champion (see `daemon.lineage`), by number."""

    @property
    def alive(self) -> bool:
        """Whether a daemon runs."""
        return self.status is not None and self.status.alive

    @property
    def number(self) -> int | None:
        """The version that the pointer names."""
        return self.pointer.version if self.pointer else None

    @property
    def champion(self) -> Row | None:
        """The journal's row of the version that the pointer names."""
        return next((row for row in self.versions if row["version"] == self.number), None)

    @property
    def held(self) -> Row | None:
        """The newest version that waits to be promoted."""
        return next((row for row in self.newer if row["state"] == "held"), None)

    @property
    def newer(self) -> list[Row]:
        """Versions judged since the champion, newest first."""
        return [row for row in self.versions if self.number is not None and row["version"] > self.number]


def healthy(facts: Facts) -> Answer:
    """Whether the daemon is alive, its checks pass and requests succeed."""
    status, metrics = facts.status, facts.metrics
    requests, errors = metrics.get("request_count") or 0, failures(metrics)
    notes = [_latency(metrics)]
    if requests:
        notes.append(
            fact("errors", f"{errors / requests:.2%}", f"{errors:,} of {requests:,} requests since the beginning")
        )
    if status is None:
        if not facts.counts["drops"]["accepted"]:
            return answer("unknown", "No daemon has reported yet", "It reports within seconds of retraind run.", notes)
        return answer(
            "act", "The daemon is not running", "Predictions go on; drops wait. Start it: retraind run.", notes
        )
    notes.append(fact("free disk", size(status.free_bytes), "folder of the home"))
    if not status.alive:
        sentence = "Predictions go on with the served version; drops wait in the inbox. Start it again: retraind run."
        return answer("act", "The daemon is not running", sentence, [fact("last sign of life", at=status.at), *notes])
    notes.insert(0, fact("up since", at=status.started_at, note=f"process {status.pid}"))
    failing = {name: check for name, check in status.checks.items() if not check.ok}
    if failing:
        notes = [fact(name, check.detail) for name, check in failing.items()] + notes
        return answer("act", f"{', '.join(failing)}: not well", next(iter(failing.values())).detail, notes)
    if requests and errors / requests > ERROR_SHARE:
        return answer(
            "watch", f"{errors / requests:.1%} of requests failed", "See the workers' log for the reason.", notes
        )
    if status.state != "ready":
        return answer("watch", f"The daemon is {status.state}", "Predictions are answered meanwhile.", notes)
    sentence = f"{len(status.checks)} of {len(status.checks)} checks pass." if status.checks else ""
    return answer("ok", "Running", sentence, notes)


def serving(facts: Facts) -> Answer:
    """Which version serves, and the sentence with which it was let in."""
    pointer, champion = facts.pointer, facts.champion
    if pointer is None:
        if facts.problem:
            return answer("act", "The pointer is unreadable", facts.problem)
        return answer("unknown", "No model yet", "The first accepted rows train one.")
    candidate = champion["candidate"] if champion else facts.manifest.candidate if facts.manifest else "unknown"
    headline, notes = f"v{pointer.version} · {candidate}", [fact("served since", at=pointer.since)]
    if facts.manifest:
        rows = f"{facts.manifest.trained_rows:,} of {facts.manifest.rows:,} rows"
        notes.append(fact("taught by", rows, f"revision {facts.manifest.revision[:10]}"))
        notes.append(fact("runs on", *_backend(facts.manifest)))
    if facts.problem:
        return answer("act", headline, facts.problem, notes)
    if champion is None:
        return answer(
            "watch", headline, "The journal does not know this version, so nobody can say why it serves.", notes
        )
    swaps = [row for row in facts.swaps if row["version"] == pointer.version]
    # A version that a person brought back keeps both: why it serves now, and what let it in at first.
    others = {"put in place": swaps[0]["reason"], "first let in": swaps[-1]["reason"]} if swaps else {}
    told = {champion["reason"], *(f"Version {row['version']} was rolled back: {row['reason']}" for row in facts.newer)}
    notes = [*(fact(label, reason) for label, reason in others.items() if reason not in told), *notes]
    notes = [*_trial(facts), *notes]
    return _waiting(facts, headline, notes) or answer("ok", headline, champion["reason"], notes)


def _trial(facts: Facts) -> list[Answer]:
    """How far the trial of a new champion on late labels is; empty without labels, and when it is over."""
    promote, swap = (facts.settings or Settings()).promote, facts.swaps[0] if facts.swaps else None
    before = swap["previous"] if swap and swap["version"] == facts.number else None
    labels = facts.live["n"] if facts.live else 0
    if not promote.live_rows or before is None or before > facts.number or not 0 < labels < promote.live_until:
        return []
    told = (
        f"{labels:,} of {promote.live_rows:,} late labels" if labels < promote.live_rows else f"{labels:,} late labels"
    )
    return [fact("on trial", told, f"beside v{before}; promote.live_rows, live_until")]


def _backend(manifest: Manifest) -> tuple[str, str]:
    if manifest.backend == "sklearn":
        return "scikit-learn", "neither ONNX nor treelite answers as it does"
    return {"onnx": "ONNX", "treelite": "treelite"}[
        manifest.backend
    ], f"within {manifest.difference:.1g} of scikit-learn"


def _waiting(facts: Facts, headline: str, notes: list[Answer]) -> Answer | None:
    for row in facts.newer:
        if row["state"] == "unservable":
            return answer("act", headline, f"v{row['version']} should serve and cannot: {row['reason']}", notes)
    others = [version for version in facts.metrics.get("served_versions") or [] if version != facts.number]
    if others:
        return answer("watch", headline, f"A worker still serves v{others[0]}.", notes)
    held = facts.held
    if held:
        waits = fact("v{} waits".format(held["version"]), held["reason"], "promote.mode = manual")
        sentence = f"v{held['version']} waits for retraind promote."
        tried = [*_agreement(facts, held["version"]), *_canary(facts, held["version"])]
        return answer("watch", headline, sentence, [waits, *tried, *notes])
    if facts.newer and facts.newer[0]["state"] == live.ROLLED_BACK:
        row = facts.newer[0]
        return answer("watch", headline, f"v{row['version']} was rolled back: {row['reason']}", notes)
    return None


def _agreement(facts: Facts, version: int) -> list[Answer]:
    """How far the held version agrees with the champion, on the same requests."""
    found = facts.agreements.get(version)
    if found is None:
        return []
    agreed = found["agreed"] if found["n"] else None
    note = "the same requests, unseen"
    if agreed is None:
        return [fact("beside the champion", figures.agreement(found), note)]
    share = agreed / found["n"]
    return [{**fact("beside the champion", figures.agreement(found), note), "share": share}]


def _canary(facts: Facts, version: int) -> list[Answer]:
    """How many requests the held version has answered itself."""
    promote = facts.settings.promote if facts.settings else Promote()
    if promote.mode != "manual" or not promote.canary_share:
        return []
    told = (facts.metrics.get("predictions_by_version") or {}).get(str(version), 0)
    return [
        fact("answers itself", f"{100 * promote.canary_share:.4g}% of the keys, {told:,} so far", promote.canary_header)
    ]


def flowing(facts: Facts) -> Answer:
    """Whether rows arrive and are accepted."""
    status, counts = facts.status, facts.counts
    accepted = next((row for row in facts.drops if row["state"] == "accepted"), None)
    since = facts.now - WINDOW
    recent = [row for row in facts.drops[:20] if moment(row["decided_at"]) >= since and row["state"] != "duplicate"]
    rejected = [row for row in recent if row["state"] == "rejected"]
    drops, rows = counts["drops"], counts["rows"]
    notes = _pending(status) if status else []
    last = accepted["decided_at"] if accepted else None
    notes.append(fact("accepted", f"{rows['accepted']:,} rows", f"{drops['accepted']:,} drops since the beginning"))
    notes.append(fact("rejected", f"{len(rejected)} of {len(recent)} drops", "the last 20, within 24 h"))
    came = [fact("last accepted", at=last)] if last else []
    if not facts.drops:
        return answer("unknown", "No data yet", "Drop a CSV file into the inbox.", notes)
    if len(rejected) >= STREAK and len(rejected) == len(recent):
        return answer("act", "Every drop is rejected", rejected[0]["reason"] or "", [*came, *notes])
    if not facts.alive:
        return answer("act", "Nobody watches the inbox", "Drops wait until the daemon runs again.", [*came, *notes])
    if len(rejected) > REJECTED_SHARE * len(recent):
        return answer(
            "watch", "Last rows", f"{rejected[0]['name']} was rejected: {rejected[0]['reason']}", notes, at=last
        )
    if last is None:
        return answer("unknown", "No rows accepted yet", "", notes)
    if facts.now - moment(last) > QUIET:
        return answer(
            "watch", "Last rows", f"Nothing has come for {(facts.now - moment(last)).days} days.", notes, at=last
        )
    return answer("ok", "Last rows", "", notes, at=last)


def _pending(status: Status) -> list[Answer]:
    notes = []
    if status.threshold_rows:
        text = f"{status.rows_pending:,} of {status.threshold_rows:,} rows"
        share = min(1.0, status.rows_pending / status.threshold_rows)
        notes.append({**fact("to next training", text, "retrain.threshold_rows, growth"), "share": share})
    if status.next_schedule:
        notes.append(fact("or on schedule", at=status.next_schedule, note="retrain.schedule"))
    waiting = f"{status.backlog_files:,} files, {size(status.backlog_bytes)}" if status.backlog_files else "empty"
    return [*notes, fact("inbox", waiting, "now")]


def good(facts: Facts) -> Answer:
    """Whether the champion scores as when it was let in, and is asked for what it was taught."""
    tile, drift = _scored(facts), facts.drift
    counts, among = "not compared yet", ""
    if drift["tested"]:
        counts, among = (
            f"{drift['drifted']:,} of {drift['tested']:,} features drifted",
            f"last {drift['n']:,} predictions",
        )
    notes = [*tile["facts"], fact("its inputs", counts, among)]
    if drift["alarm"]:
        return answer("watch", tile["headline"], drift["reason"], notes)
    return {**tile, "facts": notes}


def _scored(facts: Facts) -> Answer:
    """Whether the score holds: on held-out rows, and on late labels for its answers."""
    entry = held_out(facts.champion)
    if entry is None:
        return answer("unknown", "Not measured yet", "There is no version with a score.", _confidence(facts))
    now = latest_score(facts) or entry
    found, before = figures.value(now), figures.value(entry)
    notes = [*_against(entry, now), *_live(facts), *_weakest(now), *_confidence(facts)]
    if found is None:
        why = f"The targets of {now['n']:,} held-out rows do not vary enough to say what a model explains of them."
        return answer("unknown", "Not measured yet", why, notes)
    headline = f"{found:.3f} {title(now)}"
    trouble = _trouble(facts, headline, notes)
    if trouble:
        return trouble
    if now["n"] < FEW_ROWS:
        few = f"Only {now['n']} held-out rows; {FEW_ROWS - now['n']} more make it a figure."
        return answer("unknown", headline, few, notes)
    sentence = (
        f"On {now['n']:,} held-out rows; {_doubt(now)}. {'' if facts.live else 'No labels from live use yet.'}".strip()
    )
    fall = _fall(facts, found, before, now["n"])
    if fall:
        return answer("watch", headline, f"{fall} {sentence}", notes)
    refused = list(takewhile(lambda row: row["state"] == "refused", facts.newer))
    if len(refused) >= STREAK:
        many = f"The last {len(refused)} challengers were refused: {refused[0]['reason']}"
        return answer("watch", headline, many, notes)
    return answer("ok", headline, sentence, notes)


def _trouble(facts: Facts, headline: str, notes: list[Answer]) -> Answer | None:
    """Trainings that fail: whatever the score is, it will not get better."""
    ended = [run for run in facts.runs if run["state"] in ("trained", "failed")]
    failed = list(takewhile(lambda run: run["state"] == "failed", ended))
    if not failed:
        return None
    times = f"The last {len(failed)} trainings" if len(failed) > 1 else "The last training"
    state = "act" if len(failed) >= STREAK else "watch"
    return answer(state, headline, f"{times} failed: {failed[0]['detail']}", notes)


def _fall(facts: Facts, found: float, before: float | None, n: int) -> str:
    """By how much the champion is worse than when it was let in; empty if it is not, or not clearly."""
    tolerance = (facts.settings.promote if facts.settings else Promote()).tolerance
    if before is None:
        return ""
    if found < before - max(tolerance, 1 / n):
        return f"It fell from {before:.3f}, by more than promote.tolerance = {tolerance:g}."
    interval = (facts.live or {}).get("interval")
    if interval and interval[1] < before - tolerance:
        return f"Late labels say less: at most {interval[1]:.3f}, where it was let in with {before:.3f}."
    return ""


def _doubt(score: Row) -> str:
    """How far a score is to be believed, and what it means in the target's unit."""
    if figures.deciding(score) == "r2":
        return f"RMSE {figures.plain(score['rmse'])}, MAE {figures.plain(score['mae'])}"
    low, high = wilson(score["accuracy"], score["n"])
    return f"95 % interval {low:.3f} to {high:.3f}"


def _live(facts: Facts) -> list[Answer]:
    if not facts.live:
        return []
    found = figures.value(facts.live)
    said = "–" if found is None else f"{found:.3f} {title(facts.live)}"
    error = f"RMSE {figures.plain(facts.live['rmse'])}, " if "rmse" in facts.live else ""
    return [fact("on late labels", said, f"{error}n = {facts.live['n']:,}")]


def title(score: Row) -> str:
    """What the deciding figure of a score is called."""
    return figures.TITLES[figures.deciding(score)]


def latest_score(facts: Facts) -> Row | None:
    """The champion's score on the rows that judged the newest challenger, which are more than it was let in on.

    Rows that spoke for a version which late labels have taken back say little against the one before it.
    """
    for row in facts.newer:
        if row["scores"].get("champion_version") == facts.number and row["state"] != live.ROLLED_BACK:
            return held_out(row, "champion")
    return None


def held_out(version: Row | None, who: str = "challenger") -> Row | None:
    """The score of `who` in a version's row: on the rolling holdout, which is larger, or else the reference one."""
    scores = (version or {}).get("scores", {}).get(who) or {}
    found = [scores[part] for part in ("rolling", "reference") if (scores.get(part) or {}).get("n")]
    return found[0] if found else None


def _against(entry: Row, now: Row) -> list[Answer]:
    if entry is now:
        return []
    before = figures.value(entry)
    return [fact("when let in", "–" if before is None else f"{before:.3f}", f"n = {entry['n']:,}")]


def _weakest(score: Row) -> list[Answer]:
    recall = {name: value for name, value in (score.get("recall") or {}).items() if value is not None}
    if not recall:
        return []
    name = min(recall, key=lambda key: recall[key])
    support = (score.get("support") or {}).get(name, 0)
    return [fact("weakest class", f"{name}, recall {recall[name]:.3f}", f"n = {support:,}")]


def _confidence(facts: Facts) -> list[Answer]:
    values = facts.confidences
    if not values:
        return []
    return [fact("mean confidence", f"{sum(values) / len(values):.3f}", f"last {len(values):,} predictions")]


def verdict(tiles: Sequence[Answer]) -> Answer:
    """One word for the whole: the worst of health and serving; data and quality raise it to WATCH at most."""
    health, model, data, quality = tiles
    states = [health["state"], model["state"]]
    soft = [tile for tile in (data, quality) if tile["state"] in ("watch", "act")]
    if "act" in states:
        return _mark("act", "Needs you", _lead(health, model))
    if "unknown" in states:
        return _mark("unknown", "No model yet" if model["state"] == "unknown" else "Not known", _lead(health, model))
    if "watch" in states:
        return _mark("watch", "Serving, worth a look", _lead(health, model))
    if soft:
        return _mark("watch", "Serving, worth a look", f"{model['headline']} answers. {soft[0]['sentence']}")
    data_line = {"ok": "Data arrives and is accepted.", "unknown": "No data has come yet."}[data["state"]]
    score = f"{quality['headline']}." if quality["state"] == "ok" else f"Quality is not known: {quality['sentence']}"
    return _mark("ok", "Serving normally", f"{model['headline']} answers. {data_line} {score}")


def _lead(*tiles: Answer) -> str:
    first = next((tile for state in ("act", "watch", "unknown") for tile in tiles if tile["state"] == state), tiles[0])
    return f"{first['headline']}. {first['sentence']}".strip()


def _mark(state: str, word: str, sentence: str) -> Answer:
    return {"state": state, "shape": STATES[state][0], "word": word, "sentence": sentence}


def answer(state: str, headline: str, sentence: str, facts: Sequence[Answer] = (), at: str | None = None) -> Answer:
    """One tile: state with shape and word, a headline (with a time, if `at`), a sentence and facts."""
    shape, word = STATES[state]
    tile = {"state": state, "shape": shape, "word": word, "headline": headline, "sentence": sentence}
    return {**tile, "at": at, "facts": list(facts)}


def fact(label: str, value: str = "", note: str = "", at: str | None = None) -> Answer:
    """One line of a tile; `note` holds n, window or the setting's key, `at` a UTC time shown instead of the value."""
    return {"label": label, "value": value, "note": note, "at": at}


def failures(metrics: Mapping[str, Any], least: int = 500, most: int = 599) -> int:
    """Answers of a /metrics document with a status code from `least` to `most`; by default what we failed at."""
    return sum(n for code, n in (metrics.get("errors") or {}).items() if least <= int(code) <= most)


def _latency(metrics: Mapping[str, Any]) -> Answer:
    values = [metrics.get(name) for name in ("p50_ms", "p95_ms", "p99_ms")]
    text = " / ".join("–" if value is None else f"{value:.3g}" for value in values)
    predictions = metrics.get("prediction_count") or 0
    return fact("p50 / p95 / p99", f"{text} ms", f"n = {predictions:,} predictions since the beginning")


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share seen in `n` rows; (0, 1) when n is 0."""
    return live.wilson(round(share * n), n) if n > 0 else (0.0, 1.0)


def size(count: int) -> str:
    """Bytes for people, decimal units."""
    amount, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units[:-1]:
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} {units[-1]}"


def moment(at: str) -> datetime:
    """An ISO 8601 UTC text as datetime."""
    return datetime.fromisoformat(at)
