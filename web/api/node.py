"""Answers that differ on a serving node and on a standby: the paths of their leader, and who that is."""

from collections.abc import Callable, Sequence
from typing import Any, Never

from retraind.daemon.core.leader.leadership import Leadership
from retraind.daemon.core.node import node_status
from retraind.daemon.core.node.messages import NodeReport
from retraind.daemon.core.status import Check
from retraind.web.auth import path_scopes
from retraind.web.http.problems import Problem
from retraind.web.worker_state import Worker

COMMANDS = frozenset(
    {
        "/add_training_data",
        "/trigger_retrain",
        "/promote",
        "/refuse",
        "/rollback",
        "/accept",
        "/reject",
        "/forget",
        "/acknowledge",
    }
)
"""Paths that write."""

LEADERS = COMMANDS | frozenset(
    {
        "/queue",
        "/predictions/history",
        "/predictions/<key>",
        "/versions",
        "/versions/<key>",
        "/versions/<key>/export",
        "/drops",
        "/uploads/<key>",
        "/drops/<key>",
        "/drops/<key>/columns",
        "/drops/<key>/bad.csv",
        "/drops/<key>/rows",
        "/compare",
        "/drift",
        "/events",
        "/requests/<key>",
        "/dashboard/data",
        *path_scopes.PAGES,
    }
)
"""Paths whose answers only a leader has."""


def is_node(worker: Worker) -> bool:
    """Whether this worker belongs to a serving node."""
    return worker.settings.role == "node"


def refusal(worker: Worker, path: str) -> Problem:
    """The answer of a node to a path of its leader: 421, with the leader's address."""
    status = node_status.read(worker.home.node)
    leader = status.leader if status else ""
    name = node_status.name(worker.settings.node)
    return Problem(
        421,
        f"{path} belongs to the leader, and this is the serving node {name}.",
        hint=f"Ask the leader, {leader}." if leader else "Ask the leader.",
    )


def refuse(worker: Worker, path: str) -> Callable[..., Never]:
    """The route of a node for a path of its leader."""

    def route(**_parts: str) -> Never:
        raise refusal(worker, path)

    return route


def check(worker: Worker) -> Check:
    """The check that a node serves its leader's desired version."""
    return node_status.check(node_status.read(worker.home.node))


def too_stale(worker: Worker) -> str | None:
    """The reason why a node leaves rotation: it has had no contact for `node.max_stale_seconds`."""
    limit = worker.settings.node.max_stale_seconds
    if not limit:
        return None
    status = node_status.read(worker.home.node)
    if status is not None and status.age <= limit:
        return None
    return f"No contact to the journal's server for more than {limit:g} s (node.max_stale_seconds)."


def reports(worker: Worker) -> Sequence[NodeReport]:
    """The progress of the nodes: on a leader that of all that have reported, on a node its own."""
    if not is_node(worker):
        return worker.slot.status.nodes if worker.slot.status else ()
    status = node_status.read(worker.home.node)
    return () if status is None else [status.report.model_copy(update={"generation": status.served, "age": status.age})]


# A standby

STATE = "standby"


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
