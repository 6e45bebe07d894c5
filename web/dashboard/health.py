"""Whether the service is healthy and data flows, and the state of the whole page. Pure functions of facts.

The other two are answered in `retraind.web.dashboard.serving` and `retraind.web.dashboard.quality`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from retraind.daemon.core.node.messages import NodeReport
from retraind.daemon.core.states import CheckName, DropState
from retraind.daemon.core.status import Status
from retraind.daemon.records.drops.decided import ExaminedDrop
from retraind.daemon.records.drops.held import HeldDrop
from retraind.daemon.records.search import lost_rows
from retraind.daemon.schema.score_names import counted
from retraind.web.dashboard import doubts
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.tiles import STATES, Fact, State, Tile, Verdict, fact, size, tile
from retraind.web.metrics.totals import Summary

ELSEWHERE = {CheckName.MODEL, CheckName.DAEMON, CheckName.PROMOTED_VERSION, CheckName.CHALLENGER, CheckName.TRAINING}
"""Checks that other tiles and panels report in more detail."""

WINDOW = lost_rows.WINDOW
"""Older rejected drops don't count against the data flow."""
QUIET = timedelta(days=7)
"""Time without accepted rows after which the page asks for attention. No setting says how often data should arrive."""
STREAK = 3
"""Number of rejected drops in a row that is not an accident."""
ERROR_SHARE = 0.01
REJECTED_SHARE = 0.05
MOST_NODES = 12
"""Number of serving nodes that are listed."""


def healthy(facts: Facts) -> Tile:
    """Whether the daemon is alive, its checks pass and requests succeed."""
    status, metrics = facts.status, facts.metrics
    requests, errors = metrics.get("request_count") or 0, failures(metrics)
    notes = [*_nodes(status), _latency(metrics)]
    if requests:
        notes.append(
            fact("failed (5xx)", f"{errors / requests:.2%}", f"{errors:,} of {counted(requests, 'request')} in all")
        )
    failing = {name: check for name, check in facts.checks.items() if not check.ok and name not in ELSEWHERE}
    if failing:
        began = (
            [fact("up since", at=status.started_at, note=f"process {status.pid}")] if status and status.alive else []
        )
        notes = [*(fact(name, check.detail) for name, check in failing.items()), *began, *notes]
        return tile("act", f"Failing: {', '.join(failing)}", next(iter(failing.values())).detail, notes)
    if status is None:
        if not facts.counts["drops"]["accepted"]:
            return tile("unknown", "No daemon has reported yet", "It reports within seconds of retraind run.", notes)
        return tile(
            "act", "The daemon is not running", "Predictions continue; drops wait. Start it: retraind run.", notes
        )
    notes.append(fact("free disk", size(status.free_bytes), "folder of the home"))
    if not status.alive:
        sentence = (
            "Predictions continue with the served version; drops wait in the inbox. Start it again: retraind run."
        )
        return tile("act", "The daemon is not running", sentence, [fact("last heartbeat", at=status.at), *notes])
    notes.insert(0, fact("up since", at=status.started_at, note=f"process {status.pid}"))
    if requests and errors / requests > ERROR_SHARE:
        return tile(
            "watch", f"{errors / requests:.1%} of requests failed", "See the workers' log for the reason.", notes
        )
    if status.state == "standby":
        leader = status.checks.get(CheckName.LEADER)
        return tile("watch", "This machine stands by", leader.detail if leader else "", notes)
    if status.state != "ready":
        return tile("watch", f"The daemon is {status.state}", _meanwhile(facts), notes)
    sentence = f"{len(status.checks)} of {len(status.checks)} checks pass." if status.checks else ""
    return tile("ok", "Running", sentence, notes)


def stopped(facts: Facts) -> str:
    """Why buttons do nothing although pages are answered, and what to do; empty while a daemon runs or before the first."""
    if facts.status is None or facts.alive:
        return ""
    return (
        f"It has not reported since {facts.status.at[:16].replace('T', ' ')} UTC. HTTP workers still answer predictions; drops wait, and nothing is trained, decided or "
        "acknowledged. Start it again: retraind run, or systemctl start retraind."
    )


def _nodes(status: Status | None) -> list[Fact]:
    """A line for each serving node of this leader, silent ones first."""
    if status is None:
        return []
    nodes = sorted(status.nodes, key=lambda node: (node.live, node.name))
    lines = [fact(node.name, node.progress, f"serving node, {_ago(node)}") for node in nodes[:MOST_NODES]]
    return lines if len(nodes) <= MOST_NODES else [*lines, fact("serving nodes", f"{len(nodes)} in all")]


def _ago(node: NodeReport) -> str:
    seconds = counted(round(node.age), "second")
    return f"reported {seconds} ago" if node.live else f"silent for {seconds}"


def _meanwhile(facts: Facts) -> str:
    if facts.pointer is None:
        return "No model is loaded yet, so /predict answers 503."
    return "Predictions are answered meanwhile."


def _latency(metrics: Summary) -> Fact:
    values = metrics.get("p50_ms"), metrics.get("p95_ms"), metrics.get("p99_ms")
    text = " / ".join("–" if value is None else f"{value:.3g}" for value in values)
    predictions = metrics.get("prediction_count") or 0
    return fact("p50 / p95 / p99", f"{text} ms", f"of {counted(predictions, 'prediction')} in all")


def flowing(facts: Facts) -> Tile:
    """Whether rows arrive and are accepted."""
    counts = facts.counts
    accepted = next((row for row in facts.drops if row["state"] == DropState.ACCEPTED), None)
    since = facts.now - WINDOW
    recent = [row for row in facts.drops[:20] if _counts(row) and moment(row["decided_at"]) >= since]
    rejected = [row for row in recent if row["state"] == DropState.REJECTED]
    # What a person has seen to still counts in the figures; it only asks for nothing more.
    fresh = [row for row in rejected if not _is_seen_to(facts, row)]
    lost = next(filter(None, (lost_rows.sentence(row) for row in recent if not _is_seen_to(facts, row))), "")
    drops, rows = counts["drops"], counts["rows"]
    notes = _pending(facts)
    last = accepted["decided_at"] if accepted else None
    notes.append(fact("accepted", counted(rows["accepted"], "row"), f"{counted(drops['accepted'], 'drop')} in all"))
    notes.append(fact("rejected", f"{len(rejected)} of {len(recent)} drops", "the last 20, within 24 h"))
    came = [fact("last accepted", at=last)] if last else []
    doubt = doubts.of_data(facts)
    if not facts.drops and not facts.held_drops and not doubt:
        return tile("unknown", "No data yet", "Drop a CSV file into the inbox.", notes)
    if len(fresh) >= STREAK and len(fresh) == len(recent):
        return tile("act", "Every drop is rejected", fresh[0]["reason"] or "", [*came, *notes])
    if not facts.alive:
        return tile("act", "The inbox is not watched", "Drops wait until the daemon runs again.", [*came, *notes])
    if facts.held_drops:
        return tile("watch", _wait(facts.held_total), _why(facts.held_drops[0]), [*came, *notes])
    if doubt:
        return tile("watch", doubt.headline, doubt.sentence, [*came, *notes])
    if len(fresh) > REJECTED_SHARE * len(recent):
        return tile("watch", "Last rows", f"{fresh[0]['name']} was rejected: {fresh[0]['reason']}", notes, at=last)
    if lost:
        return tile("watch", "Last rows", lost, notes, at=last)
    if last is None:
        return tile("unknown", "No rows accepted yet", "", notes)
    if facts.now - moment(last) > QUIET:
        return tile(
            "watch", "Last rows", f"No data has arrived for {(facts.now - moment(last)).days} days.", notes, at=last
        )
    return tile("ok", "Last rows", "", notes, at=last)


def _wait(count: int) -> str:
    return f"{counted(count, 'drop')} {'waits' if count == 1 else 'wait'} for you"


def _why(oldest: HeldDrop) -> str:
    return f"{oldest['name']} is held because {oldest['reason']}. Accept or reject it."


def _counts(row: ExaminedDrop) -> bool:
    """Whether a drop is one of those that rules accept or reject; a person's rejection is no failure."""
    by_person = row["state"] == DropState.REJECTED and row.get("decided_by")
    return row["state"] != DropState.DUPLICATE and not by_person


def _is_seen_to(facts: Facts, row: ExaminedDrop) -> bool:
    """Whether a person has accepted a drop, or has acknowledged its rejection or loss."""
    seen_to = {DropState.REJECTED: facts.acknowledged.rejection, DropState.ACCEPTED: facts.acknowledged.loss}
    is_seen = seen_to.get(row["state"])
    return bool(row.get("decided_by")) or (is_seen is not None and is_seen(row["sha256"], row["decided_at"]))


def _pending(facts: Facts) -> list[Fact]:
    notes: list[Fact] = []
    status, waiting = facts.status, facts.backlog
    if status and status.threshold_rows:
        text = f"{status.rows_pending:,} of {status.threshold_rows:,} rows"
        share = min(1.0, status.rows_pending / status.threshold_rows)
        notes.append({**fact("to next training", text, "retrain.threshold_rows, growth"), "share": share})
    if status and status.next_schedule:
        label = "or on schedule" if status.threshold_rows else "next training"
        notes.append(fact(label, at=status.next_schedule, note="retrain.schedule"))
    files = f"{counted(waiting.files, 'file')}, {size(waiting.bytes)}" if waiting.files else "empty"
    return [*notes, fact("inbox", files, "now")]


def verdict(tiles: Sequence[Tile]) -> Verdict:
    """The state of the whole: the worst of health and serving; data and quality raise it at most to WATCH."""
    health, model, data, quality = tiles
    states = [health["state"], model["state"]]
    soft = [tile for tile in (data, quality) if tile["state"] in ("watch", "act")]
    if "act" in states:
        return _mark("act", "Needs you", _lead(health, model))
    if "unknown" in states:
        return _mark("unknown", "No model yet" if model["state"] == "unknown" else "Not known", _lead(health, model))
    if "watch" in states:
        return _mark("watch", "Serving, needs attention", _lead(health, model))
    if soft:
        return _mark("watch", "Serving, needs attention", f"{model['headline']} answers. {soft[0]['sentence']}")
    data_line = {"ok": "Data arrives and is accepted.", "unknown": "No data has arrived yet."}[data["state"]]
    score = f"{quality['headline']}." if quality["state"] == "ok" else f"Quality is not known: {quality['sentence']}"
    return _mark("ok", "Serving normally", f"{model['headline']} answers. {data_line} {score}")


def _lead(*tiles: Tile) -> str:
    first = next((tile for state in ("act", "watch", "unknown") for tile in tiles if tile["state"] == state), tiles[0])
    return f"{first['headline']}. {first['sentence']}".strip()


def _mark(state: State, word: str, sentence: str) -> Verdict:
    return {"state": state, "shape": STATES[state][0], "word": word, "sentence": sentence}


def failures(metrics: Summary) -> int:
    """Answers of a /metrics document with a 5xx status, except those from before the first version."""
    return max(0, _answers(metrics, 500, 599) - (metrics.get("before_first_model") or 0))


def refusals(metrics: Summary) -> int:
    """Answers of a /metrics document with a 4xx status: errors of clients."""
    return _answers(metrics, 400, 499)


def _answers(metrics: Summary, least: int, most: int) -> int:
    return sum(n for code, n in (metrics.get("errors") or {}).items() if least <= int(code) <= most)


def moment(at: str) -> datetime:
    """An ISO 8601 UTC text as datetime."""
    return datetime.fromisoformat(at)
