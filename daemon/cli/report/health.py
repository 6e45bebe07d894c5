"""The health of a home: whether all is well, what is served, and every check of the daemon."""

from typing import TypedDict

from retraind.daemon.cli.report import checks, home_access
from retraind.daemon.cli.report.checks import Challenger, CheckResult
from retraind.daemon.cli.report.terminal import printable
from retraind.daemon.core import status
from retraind.daemon.core.home import Home
from retraind.daemon.core.leader.leadership import Leadership
from retraind.daemon.core.settings import Settings
from retraind.daemon.schema import score_names
from retraind.web.dashboard.tiles import STATES, State


class Reason(TypedDict):
    """Something that needs a person; `about` is health, model, data, quality or settings."""

    about: str
    state: State
    sentence: str


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
    # Imported here, because others read the checks alone: attention needs the page's code.
    from retraind.daemon.cli.report import attention

    daemon, pointer = status.read(home.status), home_access.served(home)
    alive = daemon is not None and daemon.alive
    examined = checks.examine(home, daemon, pointer)
    healthy = all(check["ok"] for check in examined.checks.values())
    return {
        "healthy": healthy,
        "attention": [] if home.node.exists() else attention.reasons(home, settings, healthy=healthy),
        "model_version": pointer.version if pointer else None,
        "rows": daemon.rows if daemon else 0,
        "rows_pending": daemon.rows_pending if daemon else 0,
        "challenger": examined.challenger,
        "drops_held": examined.held,
        "training": daemon.training.model_dump() if daemon and alive and daemon.training else None,
        "longest_step": daemon.longest_step.model_dump() if daemon and alive and daemon.longest_step else None,
        "leadership": daemon.leadership.model_dump() if daemon and alive and daemon.leadership else None,
        "checks": examined.checks,
    }


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
