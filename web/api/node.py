"""What a serving node answers otherwise than its leader: paths of the leader, and how far the node is."""

from collections.abc import Callable, Sequence
from typing import Never

from daemon.core.node import node_status
from daemon.core.node.messages import NodeReport
from daemon.core.status import Check
from web.http.problems import Problem
from web.worker_state import Worker

LEADERS = frozenset(
    {
        "/add_training_data",
        "/trigger_retrain",
        "/promote",
        "/refuse",
        "/rollback",
        "/accept",
        "/reject",
        "/predictions/history",
        "/versions",
        "/versions/<key>",
        "/drops",
        "/drops/<key>",
        "/drift",
        "/events",
        "/requests/<key>",
        "/dashboard",
        "/dashboard/data",
    }
)
"""Paths whose answers only a leader has."""


def is_node(worker: Worker) -> bool:
    """Whether this worker is one of a serving node."""
    return worker.settings.role == "node"


def refusal(worker: Worker, path: str) -> Problem:
    """The answer of a node to a path of its leader: 421, with the place to ask."""
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
    """How far a node is with what its leader wants."""
    return node_status.check(node_status.read(worker.home.node))


def too_stale(worker: Worker) -> str | None:
    """Why a node leaves rotation: it follows nothing any more, and `node.max_stale_seconds` does not allow that."""
    limit = worker.settings.node.max_stale_seconds
    if not limit:
        return None
    status = node_status.read(worker.home.node)
    if status is not None and status.age <= limit:
        return None
    return f"Without a word from the journal's server for more than {limit:g} s (node.max_stale_seconds)."


def reports(worker: Worker) -> Sequence[NodeReport]:
    """How far the nodes are: on a leader all that have reported, on a node the generation that it serves itself."""
    if not is_node(worker):
        return worker.slot.status.nodes if worker.slot.status else ()
    status = node_status.read(worker.home.node)
    return () if status is None else [status.report.model_copy(update={"generation": status.served, "age": status.age})]
