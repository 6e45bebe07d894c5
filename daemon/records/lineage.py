"""Lineage: a version's origin and use, from the drops that it was trained on to its predictions.

Shared with `web`, so that `GET /versions/V` and `retraind lineage` show the same facts. Lists are bounded and come with
their totals. It only reads, so it may run beside any other process.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import orjson

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRow, VersionRow, VersionVerdict
from retraind.daemon.core.states import BatchKind, DropState, of_type
from retraind.daemon.records import live_score
from retraind.daemon.records.lineage_chain import (
    Chain,
    Disagreement,
    DropsBetween,
    DropTotals,
    PredictionSpan,
    RevisionFacts,
    ServicePeriod,
    ShadowTrial,
    StoredAgreement,
    TrainedVersion,
    TrainedVersions,
    TrainingBatch,
    TrainingBatches,
    TrainingDrop,
    TrainingDrops,
    TrainingFacts,
)
from retraind.daemon.records.query import LAST, Value, ask, first, listed, number, parts, texts, typed
from retraind.daemon.schema.scores import Agreement, Scores

SHOWN = 20
"""Default length of the lists of drops, batches, periods of service and versions."""

# A revision holds every batch up to the last one committed with it. A drop that was forgotten later still counts.
TRAINED_ON = """
FROM drops WHERE batch <= ?1 AND (state = 'accepted' OR state = 'forgotten' AND forgotten_in > ?1)"""

DROPS = f"""
SELECT drops.*, rows_accepted AS rows
{TRAINED_ON} AND id < ?2 ORDER BY batch DESC, id DESC LIMIT ?3"""

TOTALS = f"""
SELECT COUNT(*) AS count, COALESCE(SUM(rows_accepted), 0) AS rows, COALESCE(SUM(CASE WHEN state = 'forgotten' THEN 1 ELSE 0 END), 0) AS forgotten {TRAINED_ON}"""

BATCHES = """
SELECT seq, kind, rows, sha256, revision, accepted_at FROM batches
WHERE seq <= ? AND kind != 'merge' ORDER BY seq DESC LIMIT ?"""

SERVED = """
SELECT at AS "from", (SELECT at FROM swaps AS next WHERE next.id > swaps.id ORDER BY id LIMIT 1) AS "to", reason,
(SELECT reason FROM swaps AS next WHERE next.id > swaps.id ORDER BY id LIMIT 1) AS ended,
(SELECT version FROM swaps AS next WHERE next.id > swaps.id ORDER BY id LIMIT 1) AS "next"
FROM swaps WHERE version = ? ORDER BY id DESC LIMIT ?"""

PREDICTIONS = """
SELECT COUNT(*) AS count, MIN(seq) AS oldest, MAX(seq) AS newest FROM predictions WHERE model_version = ?"""

AGREEMENTS = """
SELECT * FROM agreements WHERE version IN ({}) AND champion = COALESCE(?, champion)
ORDER BY at DESC LIMIT ?"""

DISAGREEMENTS = """
SELECT prediction_id, told, shadow FROM disagreements WHERE version = ? AND champion = ? ORDER BY id DESC LIMIT ?"""

# Drops that a version up to batch ?1 was trained on and one up to batch ?2 was not, because they were forgotten.
LEFT_OUT = """
SELECT name FROM drops WHERE state = 'forgotten' AND batch <= ?1 AND forgotten_in > ?1 AND forgotten_in <= ?2
ORDER BY id DESC"""

# Drops in the data up to batch ?1 and not in that up to batch ?2.
BETWEEN = """
FROM drops WHERE batch <= ?1 AND (state = 'accepted' OR state = 'forgotten' AND forgotten_in > ?1)
AND NOT (batch <= ?2 AND (state = 'accepted' OR state = 'forgotten' AND forgotten_in > ?2))"""

BETWEEN_DROPS = f"""
SELECT drops.*, rows_accepted AS rows
{BETWEEN} ORDER BY id DESC LIMIT ?3"""

# The newest batch of each version's revision. The journal's runs have it as well, except if a kill prevented recording
# the run's end.
REACH = """
WITH reach AS (
    SELECT version, versions.state, candidate, MAX(seq) AS batch
    FROM versions JOIN batches ON batches.revision = versions.revision GROUP BY version)
"""


class _Reach(TypedDict):
    batch: int | None
    committed_at: str | None


class _Span(TypedDict):
    count: int
    oldest: int
    newest: int


def of(home: Home, version: int, limit: int = SHOWN, before: int | None = None) -> Chain | None:
    """The whole chain of a judged version; None if there is no such version. Raises sqlite3.Error on a damaged journal.

    `drops`, `batches`, `served` and `shadow` list the newest `limit`; `before` is the id of the last drop already seen.
    `bundle` is the sha256 that `retraind.daemon.artifacts.manifest.summary` needs.
    """
    row = first(VersionRow, home.journal, "SELECT * FROM versions WHERE version = ?", version)
    if row is None:
        return None
    scores: Scores = orjson.loads(row["scores"])
    revision = _revision(home, row)
    return {
        **_verdict(row),
        "scores": scores,
        "live": live_score.of(home.journal, version, scores),
        "drops": _drops(home, revision["batch"], limit, before),
        "batches": _batches(home, revision["batch"], limit),
        "revision": revision,
        "run": _run(home, row),
        "bundle": row["bundle"],
        "served": typed(ServicePeriod, home.journal, SERVED, version, limit),
        "predictions": _predictions(home, version),
        "shadow": [_trial(home, agreement) for agreement in agreements(home, [version], limit=limit)],
    }


def _verdict(row: VersionRow) -> VersionVerdict:
    return {
        "version": row["version"],
        "mlflow_run": row["mlflow_run"],
        "candidate": row["candidate"],
        "backend": row["backend"],
        "dvc_md5": row["dvc_md5"],
        "rows": row["rows"],
        "trained_rows": row["trained_rows"],
        "trigger": row["trigger"],
        "state": row["state"],
        "reason": row["reason"],
        "judged_at": row["judged_at"],
    }


def agreements(home: Home, versions: Iterable[int], champion: int | None = None, limit: int = LAST) -> list[Agreement]:
    """The agreement of these formerly held versions with the champions of that time, last ones first."""
    rows: list[StoredAgreement] = []
    for numbers in parts(sorted(versions, reverse=True)):
        rows += typed(StoredAgreement, home.history, AGREEMENTS.format(listed(numbers)), *numbers, champion, limit)
    return [{**row, "difference": row["difference"] / row["n"] if row["n"] else None} for row in rows[:limit]]


def _trial(home: Home, agreement: Agreement) -> ShadowTrial:
    """An agreement with the newest rows on which the two disagreed."""
    pair = agreement["version"], agreement["champion"]
    return {**agreement, "newest": typed(Disagreement, home.history, DISAGREEMENTS, *pair, SHOWN)}


def versions_trained_on(home: Home, drop: DropRow, limit: int = SHOWN) -> TrainedVersions:
    """The versions that were trained on a drop: `count`, and the newest `limit` of them with their verdicts.

    The drop's held-out rows judged these versions and trained their served models (`train.refit`). Versions whose
    window excluded the drop are among them. Raises sqlite3.Error on a damaged journal.
    """
    if drop["state"] not in (DropState.ACCEPTED, DropState.FORGOTTEN):
        return {"count": 0, "newest": []}
    until = drop["forgotten_in"] if drop["forgotten_in"] is not None else 2**62
    scope = "FROM reach WHERE batch >= ? AND batch < ?"
    count = number(home.journal, f"{REACH} SELECT COUNT(*) {scope}", drop["batch"], until) or 0
    query = f"{REACH} SELECT version, candidate, state {scope} ORDER BY version DESC LIMIT ?"
    return {"count": count, "newest": typed(TrainedVersion, home.journal, query, drop["batch"], until, limit)}


def left_out(home: Home, version: int, revision: str) -> list[str]:
    """Names of the drops, newest first, that `version` was trained on and the data `revision` has forgotten.

    Empty for an unknown version or revision. Raises sqlite3.Error on a damaged journal.
    """
    own = texts(home.journal, "SELECT revision FROM versions WHERE version = ?", version)
    if not own:
        return []
    older, newer = (_reach(home, commit)["batch"] or 0 for commit in (own[0], revision))
    return texts(home.journal, LEFT_OUT, older, newer)


def drops_between(home: Home, version: int, other: int, limit: int = SHOWN) -> DropsBetween:
    """The drops that `version` was trained on and `other` was not: totals, and the newest `limit`.

    Empty for an unknown version. Raises sqlite3.Error on a damaged journal.
    """
    query = "SELECT revision FROM versions WHERE version = ?"
    revisions = [texts(home.journal, query, number) for number in (version, other)]
    batch, without = (_reach(home, found[0])["batch"] or 0 if found else 0 for found in revisions)
    totals = f"SELECT COUNT(*) AS count, COALESCE(SUM(rows_accepted), 0) AS rows, 0 AS forgotten {BETWEEN}"
    [counted] = typed(DropTotals, home.journal, totals, batch, without)
    newest = training_drops(home.journal, BETWEEN_DROPS, batch, without, limit)
    return {"count": counted["count"], "rows": counted["rows"], "newest": newest}


def training_drops(journal: Path, query: str, *values: Value) -> list[TrainingDrop]:
    """The drops of DROPS or BETWEEN_DROPS; a journal that an earlier release wrote last knows no origins."""
    keys = TrainingDrop.__annotations__
    return [of_type(TrainingDrop, {key: row.get(key) for key in keys}) for row in ask(journal, query, *values)]


def _revision(home: Home, row: VersionRow) -> RevisionFacts:
    """The revision that a version was trained on."""
    reach = _reach(home, row["revision"])
    return {
        "commit": row["revision"],
        "dvc_md5": row["dvc_md5"],
        "rows": row["rows"],
        "committed_at": reach["committed_at"],
        "batch": reach["batch"] or 0,
    }


def _reach(home: Home, revision: str) -> _Reach:
    """The last batch in a revision, and when it was committed; None if the journal does not know it."""
    query = "SELECT MAX(seq) AS batch, MAX(committed_at) AS committed_at FROM batches WHERE revision = ?"
    return first(_Reach, home.journal, query, revision) or {"batch": None, "committed_at": None}


def _drops(home: Home, batch: int, limit: int, before: int | None) -> TrainingDrops:
    [totals] = typed(DropTotals, home.journal, TOTALS, batch)
    newest = training_drops(home.journal, DROPS, batch, 2**62 if before is None else before, limit)
    return {**totals, "newest": newest}


def _batches(home: Home, batch: int, limit: int) -> TrainingBatches:
    query = "SELECT COUNT(*) FROM batches WHERE seq <= ? AND kind != ?"
    count = number(home.journal, query, batch, BatchKind.MERGE) or 0
    return {"count": count, "newest": typed(TrainingBatch, home.journal, BATCHES, batch, limit)}


def _run(home: Home, row: VersionRow) -> TrainingFacts:
    """The training; if its end was not recorded, only the facts from the version itself."""
    query = (
        "SELECT id, reason, state, started_at, ended_at, seconds FROM runs WHERE version = ? ORDER BY id DESC LIMIT 1"
    )
    run = first(TrainingFacts, home.journal, query, row["version"])
    if run is None:
        return {"id": None, "reason": row["trigger"], "mlflow_run": row["mlflow_run"]}
    return {**run, "mlflow_run": row["mlflow_run"]}


def _predictions(home: Home, version: int) -> PredictionSpan:
    """The number of the version's predictions in the history, and the times of the first and last one."""
    span = first(_Span, home.history, PREDICTIONS, version)
    if span is None or not span["count"]:
        return {"count": 0, "first_at": None, "last_at": None}
    first_at, last_at = (_time(home, seq) for seq in (span["oldest"], span["newest"]))
    return {"count": span["count"], "first_at": first_at, "last_at": last_at}


def _time(home: Home, seq: int) -> str | None:
    times = texts(home.history, "SELECT timestamp FROM predictions WHERE seq = ?", seq)
    return times[0] if times else None
