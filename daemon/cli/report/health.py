"""The health of a home: whether all is well, what is served, and every check of the daemon."""

import json
import sqlite3
from typing import TypedDict

from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.cli.report import attention, home_access, versions
from retraind.daemon.cli.report.attention import Reason
from retraind.daemon.cli.report.terminal import printable
from retraind.daemon.core import home_integrity, process_table, status
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.leader.leadership import Leadership
from retraind.daemon.core.node import node_status
from retraind.daemon.core.settings import Settings
from retraind.daemon.records import challenger, drops
from retraind.daemon.records import versions as judged_versions
from retraind.daemon.schema import score_caveats, score_names
from retraind.daemon.schema.scores import Agreement
from retraind.web.dashboard.tiles import STATES


class CheckResult(TypedDict):
    """One check; `detail` is for people."""

    ok: bool
    detail: str


class Challenger(TypedDict):
    """The version that waits for a person, and its agreement with the served one (None: nothing was compared)."""

    version: int
    shadow: Agreement | None


class Health(TypedDict):
    """Whether all is well, what is served, what is in progress, and every check."""

    healthy: bool
    """Whether every check passes."""
    attention: list[Reason]
    """What needs a person although the checks pass, as the page has it."""
    model_version: int | None
    rows: int
    rows_pending: int
    challenger: Challenger | None
    drops_held: int
    training: dict[str, str | float | None] | None
    longest_step: dict[str, str | float] | None
    leadership: dict[str, str | int] | None
    checks: dict[str, CheckResult]


def read(home: Home, settings: Settings | None = None) -> Health:
    """Whether all is well, what is served, and every check of the daemon."""
    daemon = status.read(home.status)
    alive = daemon is not None and daemon.alive
    pointer = home_access.served(home)
    checks: dict[str, CheckResult] = {
        name: {"ok": check.ok, "detail": check.detail}
        for name, check in (daemon.checks if daemon and alive else {}).items()
    }
    checks |= _follows_or_runs(home, daemon)
    serving = f"Version {pointer.version} since {pointer.since}." if pointer else "No version has been promoted yet."
    if pointer is None and "training" in checks:
        serving = f"{serving} {checks['training']['detail']}"
    checks["model"] = {"ok": pointer is not None, "detail": serving}
    damage = (
        {"disk": home_integrity.disk(home), "journal": home_integrity.journal(home)}
        if home_integrity.has_data_or_model(home)
        else {}
    )
    challenger, held = None, 0
    try:
        challenger, held = _challenger(home, pointer), drops.held_total(home.journal)
        checks["model"]["detail"] = f"{serving} {_lacks(home, pointer)}".strip()
    except sqlite3.Error as error:
        damage["journal"] = (
            damage.get("journal") or f"{journal_server.shown(home)} can't be read: {error}. See `retraind doctor`."
        )
    checks |= {name: {"ok": False, "detail": detail} for name, detail in damage.items() if detail}
    healthy = all(check["ok"] for check in checks.values())
    return {
        "healthy": healthy,
        "attention": [] if home.node.exists() else attention.reasons(home, settings, healthy=healthy),
        "model_version": pointer.version if pointer else None,
        "rows": daemon.rows if daemon else 0,
        "rows_pending": daemon.rows_pending if daemon else 0,
        "challenger": challenger,
        "drops_held": held,
        "training": daemon.training.model_dump() if daemon and alive and daemon.training else None,
        "longest_step": daemon.longest_step.model_dump() if daemon and alive and daemon.longest_step else None,
        "leadership": daemon.leadership.model_dump() if daemon and alive and daemon.leadership else None,
        "checks": checks,
    }


def _follows_or_runs(home: Home, daemon: status.Status | None) -> dict[str, CheckResult]:
    """Whether the daemon is alive; on a serving node, which has none, whether it follows its leader."""
    if home.node.exists():
        node = node_status.check(node_status.read(home.node))
        return {"node": {"ok": node.ok, "detail": node.detail}}
    return {"daemon": {"ok": daemon is not None and daemon.alive, "detail": _liveness(daemon)}}


def as_text(facts: Health) -> str:
    """`read` for people."""
    lines = [
        "UNHEALTHY" if not facts["healthy"] else "needs attention" if facts["attention"] else "healthy",
        *(
            f"  {STATES[reason['state']][0]} {reason['about']}: {printable(reason['sentence'])}"
            for reason in facts["attention"]
        ),
        f"  {score_names.counted(facts['rows'], 'row')}, {facts['rows_pending']} since the last training",
    ]
    if record := facts["leadership"]:
        lines.append(f"  {Leadership.model_validate(record).sentence}")
    if facts["training"]:
        lines.append(f"  training {facts['training']['run']}: {facts['training']['stage']}")
    if longest := facts["longest_step"]:
        lines.append(f"  longest step of the last hour: {longest['name']}, {longest['seconds']:.1f} s")
    if waiting := facts["challenger"]:
        beside = f": {score_names.agreement(waiting['shadow'])}" if waiting["shadow"] else ""
        lines.append(f"  version {waiting['version']} waits for `retraind promote`{beside}")
    if held := facts["drops_held"]:
        waits = "waits" if held == 1 else "wait"
        lines.append(f"  {score_names.counted(held, 'drop')} {waits} for `retraind accept` or `retraind reject`")
    lines += [
        f"  {'ok ' if check['ok'] else 'BAD'} {name}: {printable(check['detail'])}"
        for name, check in facts["checks"].items()
    ]
    return "\n".join(lines)


def _liveness(daemon: status.Status | None) -> str:
    """Whether the daemon runs, and its current step if that takes long."""
    if daemon is not None and daemon.alive:
        return f"Running, {daemon.step.name} for {daemon.step.seconds:.0f} s." if daemon.step else "Running."
    process = process_table.look(daemon.pid) if daemon is not None and daemon.boot == status.boot_id() else None
    if daemon is None or process is None:
        return "Not running: start it with `retraind run`."
    if process.state in "Tt":
        return f"Stopped (SIGSTOP, pid {daemon.pid}): `kill -CONT {daemon.pid}` resumes it."
    # Another process may have this pid by now.
    return (
        f"Gone or hanging since {daemon.at}: start it with `retraind run`, which reports it if the old one "
        f"(pid {daemon.pid}) still runs."
    )


def _challenger(home: Home, pointer: Pointer | None) -> Challenger | None:
    """The newest version that is held."""
    held = challenger.waiting(home.journal)
    if held is None:
        return None
    return {"version": held, "shadow": versions.agreements(home, pointer, [held]).get(held)}


def _lacks(home: Home, pointer: Pointer | None) -> str:
    """What evidence the served version lacks; empty if it is not on trial."""
    judged = judged_versions.judged(home.journal, pointer.version) if pointer else None
    return score_caveats.sentence(json.loads(judged["scores"])) if judged else ""
