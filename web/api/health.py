"""Health and readiness: the checks of this worker, and the last ones of the daemon."""

from typing import TypedDict

from retraind.daemon.artifacts.manifest import MANIFEST
from retraind.daemon.core import home_integrity
from retraind.daemon.core.states import CheckName
from retraind.daemon.core.status import Check, utcnow
from retraind.daemon.schema import score_caveats
from retraind.web.api import node
from retraind.web.worker_state import Worker

PROMOTED = CheckName.PROMOTED_VERSION
"""This check exists only while the pointer names another version than the served one."""

CHALLENGER = CheckName.CHALLENGER
"""This check exists only while the held version can't be tested on live requests."""

DISK = CheckName.DISK
"""`/readyz` needs this check of the daemon: without a writable disk nothing can be stored."""

NODE = CheckName.NODE
"""This check exists only on a serving node, which needs no daemon to be ready."""

TOLD = (PROMOTED, CHALLENGER, NODE)
"""`/readyz` reports these, but stays ready while the champion answers."""

READINESS = (CheckName.MODEL, CheckName.DAEMON, DISK, *TOLD)


class CheckResult(TypedDict):
    """A check as JSON."""

    ok: bool
    detail: str


class Readiness(TypedDict):
    """The answer of `/readyz`."""

    status: str
    model_version: int | None
    checks: dict[str, CheckResult]
    reasons: list[str]


class Health(Readiness):
    """The answer of `/health`."""

    timestamp: str
    uptime_seconds: float


def checks(worker: Worker) -> dict[str, Check]:
    """Every check by name, those of this worker first; the checks of a dead daemon are left out."""
    slot, status = worker.slot, worker.slot.status
    results: dict[str, Check] = {CheckName.MODEL: _model(worker)}
    if slot.problem:
        results[PROMOTED] = Check(ok=False, detail=slot.problem)
    if trouble := worker.challenger.problem:
        results[CHALLENGER] = Check(ok=False, detail=f"{trouble}. The champion answers.")
    problem = worker.log.problem
    results[CheckName.PREDICTION_LOG] = Check(ok=problem is None, detail=problem or "Every answer is on the disk.")
    if node.is_node(worker):
        results[CheckName.NODE] = node.check(worker)
    elif status is None:
        results[CheckName.DAEMON] = Check(ok=False, detail="No daemon has reported yet; `retraind run` starts one.")
    elif not status.alive:
        results[CheckName.DAEMON] = Check(
            ok=False, detail=f"The daemon (pid {status.pid}) is gone, stopped or hangs; last report: {status.at}."
        )
    else:
        step = f" It is {status.step.name}, for {status.step.seconds:.0f} s so far." if status.step else ""
        results[CheckName.DAEMON] = Check(ok=True, detail=f"{status.state}, pid {status.pid}.{step}")
        results.update(status.checks)
    seen = {name: detail for name, detail in _own_failures(worker).items() if detail}
    results |= {name: Check(ok=False, detail=detail) for name, detail in seen.items()}
    return {str(name): check for name, check in results.items()}  # orjson takes no other keys


def health(worker: Worker, *, full: bool) -> tuple[int, Health]:
    """The answer of `/health`: 503 with reasons unless all checks pass. Details only with `full`, which needs the scope `read`."""
    results = _visible(checks(worker), full)
    reasons = _reasons(results)
    return 503 if reasons else 200, {
        "status": "unhealthy" if reasons else "healthy",
        "timestamp": utcnow(),
        "model_version": worker.slot.version,
        "uptime_seconds": round(worker.uptime, 3),
        "checks": _as_json(results),
        "reasons": reasons,
    }


def readiness(worker: Worker, *, full: bool) -> tuple[int, Readiness]:
    """The answer of `/readyz`: 200 if a model is loaded, the daemon runs (not on a serving node) and the disk is writable.

    Details are as in `health`. A promoted version that fails to load is reported, but the service stays ready while the old one answers.
    """
    results = _visible({name: check for name, check in checks(worker).items() if name in READINESS}, full)
    if node.is_node(worker) and (reason := node.too_stale(worker)):
        results[CheckName.WORKER.value] = Check(ok=False, detail=reason)
    if worker.draining:
        results[CheckName.WORKER.value] = Check(ok=False, detail="Stopping.")
    reasons = _reasons({name: check for name, check in results.items() if name not in TOLD})
    return 503 if reasons else 200, {
        "status": "not ready" if reasons else "ready",
        "model_version": worker.slot.version,
        "checks": _as_json(results),
        "reasons": reasons,
    }


def _own_failures(worker: Worker) -> dict[str, str | None]:
    """Failures that the worker checks for itself, because the daemon may not be able to report them."""
    home, current = worker.home, worker.slot.current
    files = (MANIFEST, *current.manifest.files) if current else ()
    return {
        DISK: home_integrity.disk(home),
        CheckName.JOURNAL: home_integrity.journal(home),
        CheckName.BUNDLE: home_integrity.bundle(home, current.version, files) if current else None,
    }


def _model(worker: Worker) -> Check:
    current = worker.slot.current
    if current is None:
        return Check(ok=False, detail=f"No model is loaded: {worker.slot.problem or _unpromoted(worker)}")
    summary = f"Version {current.version} ({current.manifest.candidate}, {current.manifest.backend})."
    lacks = score_caveats.sentence(current.manifest.scores)
    return Check(ok=True, detail=f"{summary} {lacks}".strip())


def _unpromoted(worker: Worker) -> str:
    """Why no version is promoted: the daemon may report that the rows are not enough to train on."""
    status = worker.slot.status
    lacking = status.checks.get(CheckName.TRAINING) if status and status.alive else None
    return f"no version is promoted. {lacking.detail if lacking else ''}".strip()


def _visible(results: dict[str, Check], full: bool) -> dict[str, Check]:
    """The checks as a caller may see them; details name files, processes and rows."""
    return results if full else {name: Check(ok=check.ok, detail="") for name, check in results.items()}


def _as_json(results: dict[str, Check]) -> dict[str, CheckResult]:
    return {name: {"ok": check.ok, "detail": check.detail} for name, check in results.items()}


def _reasons(results: dict[str, Check]) -> list[str]:
    return [f"{name}: {check.detail}" if check.detail else name for name, check in results.items() if not check.ok]
