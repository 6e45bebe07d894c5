"""Lineage: where a version came from and where it went, from the drops that taught it to the predictions that it made.

Shared with `web`: `GET /versions/V` and `retraind lineage` tell the same facts. Lists are bounded and come with their
totals; nothing is written, whoever else is at work.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from daemon.core.home import Home
from daemon.core.states import BatchKind, DropState
from daemon.records import live_score
from daemon.records.query import LAST, Row, ask, listed, parts

SHOWN = 20
"""How many drops, batches, periods of service and versions are listed unless somebody asks for more."""

# A revision holds every batch up to the last one that was committed with it. A drop that was forgotten later taught all the same.
TAUGHT = """
FROM drops WHERE batch <= ?1 AND (state = 'accepted' OR state = 'forgotten' AND forgotten_in > ?1)"""

DROPS = f"""
SELECT id, sha256, name, source, state, rows_accepted AS rows, batch, decided_at, forgotten_in, forgotten_at
{TAUGHT} AND id < ?2 ORDER BY batch DESC, id DESC LIMIT ?3"""

TOTALS = f"""
SELECT COUNT(*) AS count, COALESCE(SUM(rows_accepted), 0) AS rows, COALESCE(SUM(CASE WHEN state = 'forgotten' THEN 1 ELSE 0 END), 0) AS forgotten {TAUGHT}"""

BATCHES = """
SELECT seq, kind, rows, sha256, revision, accepted_at FROM batches
WHERE seq <= ? AND kind != 'merge' ORDER BY seq DESC LIMIT ?"""

SERVED = """
SELECT at AS "from", (SELECT at FROM swaps AS next WHERE next.id > swaps.id ORDER BY id LIMIT 1) AS "to", reason
FROM swaps WHERE version = ? ORDER BY id DESC LIMIT ?"""

PREDICTIONS = """
SELECT COUNT(*) AS count, MIN(seq) AS oldest, MAX(seq) AS newest FROM predictions WHERE model_version = ?"""

AGREEMENTS = """
SELECT * FROM agreements WHERE version IN ({}) AND champion = COALESCE(?, champion)
ORDER BY at DESC LIMIT ?"""

DISAGREEMENTS = """
SELECT prediction_id, told, shadow FROM disagreements WHERE version = ? AND champion = ? ORDER BY id DESC LIMIT ?"""

# What a version up to batch ?1 was trained on, and one up to batch ?2 was not, because it was forgotten.
LEFT_OUT = """
SELECT name FROM drops WHERE state = 'forgotten' AND batch <= ?1 AND forgotten_in > ?1 AND forgotten_in <= ?2
ORDER BY id DESC"""

# The newest batch of each version's revision; the journal's runs know it too, but not of a run whose end a kill left out.
REACH = """
WITH reach AS (
    SELECT version, versions.state, candidate, MAX(seq) AS batch
    FROM versions JOIN batches ON batches.revision = versions.revision GROUP BY version)
"""


def of(home: Home, version: int, limit: int = SHOWN, before: int | None = None) -> Row | None:
    """The whole chain of a judged version; None if there is no such version. Raises sqlite3.Error on a damaged journal.

    `drops`, `batches`, `served` and `shadow` list the newest `limit`; `before` is the id of the last drop already seen.
    `bundle` is the sha256 by which `daemon.artifacts.bundle.summary` describes the files.
    """
    rows = ask(home.journal, "SELECT * FROM versions WHERE version = ?", version)
    if not rows:
        return None
    row = rows[0]
    row["scores"] = orjson.loads(row["scores"])
    revision = _revision(home, row)
    return {
        **row,
        "live": live_score.of(home.journal, version, row["scores"]),
        "drops": _drops(home, revision["batch"], limit, before),
        "batches": _batches(home, revision["batch"], limit),
        "revision": revision,
        "run": _run(home, row),
        "served": ask(home.journal, SERVED, version, limit),
        "predictions": _predictions(home, version),
        "shadow": [{**one, "newest": _disagreements(home, one)} for one in agreements(home, [version], limit=limit)],
    }


def agreements(home: Home, versions: Iterable[int], champion: int | None = None, limit: int = LAST) -> list[Row]:
    """How far these versions, once held, agreed with the champions beside which they were tried, the last ones first.

    Of the `n` rows compared, `agreed` have the same label (None for values); `difference` is the mean difference (of
    probabilities the largest of a row, of values the absolute one), `largest` the greatest; `failed` rows it did not answer.
    """
    rows: list[Row] = []
    for numbers in parts(sorted(versions, reverse=True)):
        rows += ask(home.history, AGREEMENTS.format(listed(numbers)), *numbers, champion, limit)
    return [{**one, "difference": one["difference"] / one["n"] if one["n"] else None} for one in rows[:limit]]


def _disagreements(home: Home, agreement: Row) -> list[Row]:
    return ask(home.history, DISAGREEMENTS, agreement["version"], agreement["champion"], SHOWN)


def taught(home: Home, drop: Row, limit: int = SHOWN) -> Row:
    """The versions that a drop has taught: `count`, and the newest `limit` of them with their verdicts.

    Its held-out rows have judged them and trained what they serve (`train.refit`). Versions that a window kept from seeing it are
    among them. Raises sqlite3.Error on a damaged journal.
    """
    if drop["state"] not in (DropState.ACCEPTED, DropState.FORGOTTEN):
        return {"count": 0, "newest": []}
    until = drop["forgotten_in"] if drop["forgotten_in"] is not None else 2**62
    scope = "FROM reach WHERE batch >= ? AND batch < ?"
    total = ask(home.journal, f"{REACH} SELECT COUNT(*) AS count {scope}", drop["batch"], until)
    query = f"{REACH} SELECT version, candidate, state {scope} ORDER BY version DESC LIMIT ?"
    return {"count": total[0]["count"], "newest": ask(home.journal, query, drop["batch"], until, limit)}


def left_out(home: Home, version: int, revision: str) -> list[str]:
    """Names of the drops, newest first, that taught `version` and were forgotten before the data `revision` was made.

    None of an unknown version or revision. Raises sqlite3.Error on a damaged journal.
    """
    judged = ask(home.journal, "SELECT revision FROM versions WHERE version = ?", version)
    if not judged:
        return []
    older, newer = (_reach(home, one)["batch"] or 0 for one in (judged[0]["revision"], revision))
    return [row["name"] for row in ask(home.journal, LEFT_OUT, older, newer)]


def _revision(home: Home, row: Row) -> Row:
    """The revision that a version was trained on; `batch` is the last one that it holds (0: the journal does not know it)."""
    reach = _reach(home, row["revision"])
    revision = {"commit": row["revision"], "dvc_md5": row["dvc_md5"], "rows": row["rows"]}
    return {**revision, "committed_at": reach["committed_at"], "batch": reach["batch"] or 0}


def _reach(home: Home, revision: str) -> Row:
    """The last batch that a revision holds, and when it was committed; None, if the journal does not know it."""
    query = "SELECT MAX(seq) AS batch, MAX(committed_at) AS committed_at FROM batches WHERE revision = ?"
    return next(iter(ask(home.journal, query, revision)), {"batch": None, "committed_at": None})


def _drops(home: Home, batch: int, limit: int, before: int | None) -> Row:
    [totals] = ask(home.journal, TOTALS, batch)
    counts = {key: int(value) for key, value in totals.items()}
    return {**counts, "newest": ask(home.journal, DROPS, batch, 2**62 if before is None else before, limit)}


def _batches(home: Home, batch: int, limit: int) -> Row:
    [total] = ask(
        home.journal, "SELECT COUNT(*) AS count FROM batches WHERE seq <= ? AND kind != ?", batch, BatchKind.MERGE
    )
    return {"count": total["count"], "newest": ask(home.journal, BATCHES, batch, limit)}


def _run(home: Home, row: Row) -> Row:
    """The training; of one whose end was not recorded only what the version itself knows."""
    query = (
        "SELECT id, reason, state, started_at, ended_at, seconds FROM runs WHERE version = ? ORDER BY id DESC LIMIT 1"
    )
    run: dict[str, Any] = {"id": None, "reason": row["trigger"]}
    rows = ask(home.journal, query, row["version"])
    return {**(rows[0] if rows else run), "mlflow_run": row["mlflow_run"]}


def _predictions(home: Home, version: int) -> Row:
    """How many predictions of the version are in the history, and when the first and the last of them were made."""
    rows = ask(home.history, PREDICTIONS, version)
    if not rows or not rows[0]["count"]:
        return {"count": 0, "first_at": None, "last_at": None}
    times = [
        ask(home.history, "SELECT timestamp FROM predictions WHERE seq = ?", rows[0][end])
        for end in ("oldest", "newest")
    ]
    first, last = (row[0]["timestamp"] if row else None for row in times)
    return {"count": rows[0]["count"], "first_at": first, "last_at": last}
