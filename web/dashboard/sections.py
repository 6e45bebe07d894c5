"""The sections of the dashboard below its four answers: versions, candidates, the HTTP side."""

from collections.abc import Mapping
from typing import TypedDict

from retraind.daemon.core.journal import swap_history
from retraind.daemon.core.states import VersionState
from retraind.daemon.records.versions import JudgedVersion
from retraind.daemon.schema import score_names
from retraind.daemon.schema.schema import Task
from retraind.daemon.schema.score_names import TITLES
from retraind.daemon.schema.scores import CROSS_VALIDATED, Metric, Score
from retraind.web.dashboard import health
from retraind.web.dashboard.chart import Plotted
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.quality import held_out


class Champion(TypedDict):
    """The served version; facts that the journal does not know are None."""

    version: int
    since: str
    candidate: str | None
    reason: str | None
    trigger: str | None


class VersionEntry(Plotted):
    """A version in the table and in the chart; scores are None if it was not scored."""

    candidate: str
    loss_figure: str
    loss: float | None
    reference: float | None
    """Score on the reference rows, and their number."""
    reference_n: int
    cv: float | None
    """Score of the cross-validation that chose its candidate."""
    trained_rows: int
    rows: int
    revision: str
    mlflow_run: str
    trigger: str
    reason: str
    judged_at: str


class Candidate(TypedDict):
    """A cross-validated candidate."""

    name: str
    cv: float | None
    loss: float | None
    fit_seconds: float | None


class Candidates(TypedDict):
    """The candidates that the champion was chosen from, best first."""

    version: int
    chosen: str
    rows: int
    figure: str
    loss_figure: str
    fitted: list[Candidate]


class Use(TypedDict):
    """The number of predictions that a version has answered, and its share of all."""

    version: str
    n: int
    share: float


class ServiceFigures(TypedDict):
    """All-time figures of the HTTP side; times in milliseconds, None if nothing was counted."""

    request_count: int | None
    prediction_count: int | None
    average_latency_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    failures: int
    refusals: int
    before_first_model: int
    """Requests that got 503 before the first version, which are not among the failures."""
    lost: int | None
    by_version: list[Use]
    workers: int | None
    runs: Mapping[str, int]
    rows: Mapping[str, int]


def champion(facts: Facts) -> Champion | None:
    """The served version and the reason of its promotion; None if there is none."""
    if facts.pointer is None:
        return None
    row = facts.champion
    trained = facts.manifest.candidate if facts.manifest else None
    return {
        "version": facts.pointer.version,
        "since": facts.pointer.since,
        "candidate": row["candidate"] if row else trained,
        "reason": row["reason"] if row else None,
        "trigger": row["trigger"] if row else None,
    }


def previous(facts: Facts) -> int | None:
    """The version that a rollback restores: the one that the champion once replaced, unless it was rolled back itself."""
    target = swap_history.before(facts.swaps, facts.number)
    taken = any(row["version"] == target and row["state"] == VersionState.ROLLED_BACK for row in facts.versions)
    return None if taken else target


def version(row: JudgedVersion, facts: Facts) -> VersionEntry:
    """One version of the table and the chart; its score and loss are on the held-out rows (None: not scored)."""
    score, reference = held_out(row), (row["scores"].get("challenger") or {}).get("reference")
    decides, settles = _names(score)
    return {
        "number": row["version"],
        "state": row["state"],
        "champion": row["version"] == facts.number,
        "candidate": row["candidate"],
        "figure": TITLES[decides],
        "score": score.get(decides) if score else None,
        "n": score["n"] if score else 0,
        "loss_figure": TITLES[settles],
        "loss": score.get(settles) if score else None,
        "reference": score_names.value(reference),
        "reference_n": reference["n"] if reference else 0,
        "cv": row["scores"].get("cv_r2") if decides == "r2" else row["scores"].get("cv_accuracy"),
        "trained_rows": row["trained_rows"],
        "rows": row["rows"],
        "revision": row["revision"],
        "mlflow_run": row["mlflow_run"],
        "trigger": row["trigger"],
        "reason": row["reason"],
        "left": left(row["version"], facts),
        "judged_at": row["judged_at"],
    }


def left(number: int, facts: Facts) -> str:
    """How a version was taken out of service by a rollback, and when; empty if it was not, or serves again."""
    swap = swap_history.left_by_rollback(facts.swaps).get(number)
    return f"{swap['at'][:16].replace('T', ' ')} UTC for v{swap['version']}: {swap['reason']}" if swap else ""


def _names(score: Score | None) -> tuple[Metric, Metric]:
    """The deciding figure and the tie-breaking one, for the task of a score."""
    task: Task = "regression" if score and score_names.deciding(score) == "r2" else "classification"
    return score_names.DECIDES[task], score_names.SETTLES[task]


def candidates(facts: Facts) -> Candidates | None:
    """The candidates that the champion was chosen from, best first; None if unknown."""
    return candidates_of(facts.champion) if facts.champion else None


def candidates_of(row: JudgedVersion) -> Candidates | None:
    """The candidates that a version was chosen from, best first; None if unknown."""
    if not row["scores"].get("candidates"):
        return None
    decides, settles = _names(held_out(row))
    fitted: list[Candidate] = [
        {
            "name": candidate["name"],
            "cv": candidate.get(CROSS_VALIDATED[decides]),
            "loss": candidate.get(CROSS_VALIDATED[settles]),
            "fit_seconds": candidate.get("fit_seconds"),
        }
        for candidate in row["scores"]["candidates"]
    ]
    trained_on = row["scores"].get("taught") or {}
    rows = trained_on["n"] if "n" in trained_on else row["trained_rows"]
    fitted.sort(key=lambda candidate: -(candidate["cv"] or 0))
    return {
        "version": row["version"],
        "chosen": row["candidate"],
        "rows": row["scores"].get("compared_rows") or rows,
        "figure": TITLES[decides],
        "loss_figure": TITLES[settles],
        "fitted": fitted,
    }


def service(facts: Facts) -> ServiceFigures:
    """Figures of the HTTP side, of all workers."""
    metrics = facts.metrics
    by_version = metrics.get("predictions_by_version") or {}
    total = sum(by_version.values())
    uses: list[Use] = [
        {"version": str(name), "n": n, "share": n / total if total else 0.0} for name, n in by_version.items()
    ]
    return {
        "request_count": metrics.get("request_count"),
        "prediction_count": metrics.get("prediction_count"),
        "average_latency_ms": metrics.get("average_latency_ms"),
        "p50_ms": metrics.get("p50_ms"),
        "p95_ms": metrics.get("p95_ms"),
        "p99_ms": metrics.get("p99_ms"),
        "failures": health.failures(metrics),
        "refusals": health.refusals(metrics),
        "before_first_model": metrics.get("before_first_model") or 0,
        "lost": metrics.get("predictions_lost"),
        "by_version": sorted(uses, key=lambda use: -use["n"]),
        "workers": metrics.get("workers"),
        "runs": facts.counts["runs"],
        "rows": facts.counts["rows"],
    }
