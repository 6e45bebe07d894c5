"""Answers that differ on a standby: it refuses what only the leader may write, and says who leads."""

from collections.abc import Callable
from typing import Any

from daemon.core.leader.leadership import Leadership
from web.http.problems import Problem
from web.worker_state import Worker

STATE = "standby"

COMMANDS = frozenset(
    {"/add_training_data", "/trigger_retrain", "/promote", "/refuse", "/rollback", "/accept", "/reject"}
)
"""Paths that write."""


def leadership(worker: Worker) -> Leadership | None:
    """Who leads; None without `leader.standby`."""
    return worker.slot.status.leadership if worker.slot.status else None


def stands_by(worker: Worker) -> bool:
    """Whether the daemon of this worker stands by."""
    return worker.slot.status is not None and worker.slot.status.state == STATE


def leading(worker: Worker) -> tuple[int, dict[str, str]]:
    """The answer of `/leadz`: 200 while this machine leads, or needs no leader; 503 on a standby and on a serving node."""
    status = worker.slot.status
    leads = status is not None and status.alive and status.state == "ready"
    return (200, {"status": "leads"}) if leads else (503, {"status": "does not lead"})


def guarded(worker: Worker, path: str, route: Callable[..., Any]) -> Callable[..., Any]:
    """The route of a path that writes: 421 with the leader's address while this machine stands by."""

    def call(**parts: str) -> Any:
        if stands_by(worker):
            record = leadership(worker)
            hint = f"Ask the leader, {record.url or record.leader}." if record else "Ask the leader."
            raise Problem(421, f"{path} belongs to the leader, and this machine stands by.", hint=hint)
        return route(**parts)

    return call
