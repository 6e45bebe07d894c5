"""The checks of a home, read from its files: those of its daemon, and whether it runs and serves."""

import json
import sqlite3
from typing import NamedTuple, TypedDict

from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.cli.report import home_access
from retraind.daemon.core import home_integrity, process_table, status
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.node import node_status
from retraind.daemon.records import challenger
from retraind.daemon.records import versions as judged_versions
from retraind.daemon.records.drops import held as held_drops
from retraind.daemon.schema import score_caveats
from retraind.daemon.schema.scores import Agreement


class CheckResult(TypedDict):
    """One check; `detail` is for people."""

    ok: bool
    detail: str


class Challenger(TypedDict):
    """The version that waits for a person, and its agreement with the served one (None: nothing was compared)."""

    version: int
    shadow: Agreement | None


class Examined(NamedTuple):
    """Every check by name, and what waits for a person: the newest held version, and the number of held drops."""

    checks: dict[str, CheckResult]
    challenger: Challenger | None
    held: int


def examine(home: Home, daemon: status.Status | None, pointer: Pointer | None) -> Examined:
    """The checks of a home with this newest status and this pointer."""
    alive = daemon is not None and daemon.alive
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
    waiting, held = None, 0
    try:
        waiting, held = _challenger(home, pointer), held_drops.held_total(home.journal)
        checks["model"]["detail"] = f"{serving} {_lacks(home, pointer)}".strip()
    except sqlite3.Error as error:
        damage["journal"] = (
            damage.get("journal") or f"{journal_server.shown(home)} can't be read: {error}. See `retraind doctor`."
        )
    checks |= {name: {"ok": False, "detail": detail} for name, detail in damage.items() if detail}
    return Examined(checks, waiting, held)


def _follows_or_runs(home: Home, daemon: status.Status | None) -> dict[str, CheckResult]:
    """Whether the daemon is alive; on a serving node, which has none, whether it follows its leader."""
    if home.node.exists():
        node = node_status.check(node_status.read(home.node))
        return {"node": {"ok": node.ok, "detail": node.detail}}
    return {"daemon": {"ok": daemon is not None and daemon.alive, "detail": _liveness(daemon)}}


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
    return {"version": held, "shadow": home_access.agreements(home, pointer, [held]).get(held)}


def _lacks(home: Home, pointer: Pointer | None) -> str:
    """What evidence the served version lacks; empty if it is not on trial."""
    judged = judged_versions.judged(home.journal, pointer.version) if pointer else None
    return score_caveats.sentence(json.loads(judged["scores"])) if judged else ""
