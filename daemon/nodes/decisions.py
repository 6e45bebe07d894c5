"""The next action of a leader and of a node: pure decisions from their facts."""

from collections.abc import Sequence
from enum import Enum, auto

from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core.node.messages import Desired, NodeReport, NodeState, Wish

PREPARE_SECONDS = 10.0
"""A version is activated after this time, whether or not all live nodes have prepared it."""

READY = (NodeState.PREPARED, NodeState.SERVING, NodeState.FAILED)
"""States in which a node needs no more waiting."""


def following(
    pointer: Pointer | None,
    row: Desired,
    reports: Sequence[NodeReport],
    waited: float,
    held: tuple[int, str] | None = None,
) -> Desired | None:
    """The row that a leader writes next, so that nodes serve the version of its pointer and try the held one; None if no change is due.

    A leader can lack a pointer because its disk is lost or its bundle damaged. Nodes keep theirs then, because their bundles are
    verified. `waited` is the age (seconds) of the row's state.
    """
    if pointer is None:
        return None
    number, manifest = held or (None, None)
    trial = {"challenger": number, "challenger_manifest": manifest}
    written = _swapping(pointer, row, reports, waited).model_copy(update=trial)
    return None if written == row else written


def _swapping(pointer: Pointer, row: Desired, reports: Sequence[NodeReport], waited: float) -> Desired:
    """The row with the next step towards the version of the pointer."""
    live = [report for report in reports if report.live]
    if (pointer.version, pointer.manifest) != row.target:
        fresh = {
            "version": pointer.version,
            "manifest": pointer.manifest,
            "state": Wish.PREPARE if live else Wish.ACTIVE,
            "generation": row.generation + 1,
        }
        return row.model_copy(update=fresh)
    if row.state is not Wish.PREPARE:
        return row
    if waited < PREPARE_SECONDS and not all(_is_done(report, row.generation) for report in live):
        return row
    return row.model_copy(update={"state": Wish.ACTIVE})


def _is_done(report: NodeReport, generation: int) -> bool:
    return report.generation >= generation and report.state in READY


class Act(Enum):
    """The next action of a node."""

    REST = auto()
    """It serves the desired version."""
    PREPARE = auto()
    """Fetch, verify and load the version."""
    ACTIVATE = auto()
    """Make its workers serve it."""
    REFUSE = auto()
    """Do nothing: this node has already followed a newer row."""


def act(row: Desired, generation: int, prepared: str | None, served: tuple[int, str] | None) -> Act:
    """A node's action for the row.

    `generation` is the newest that it has served, `prepared` the sha256 of the manifest that it has verified since its
    start, `served` the version and sha256 in its pointer.
    """
    if row.generation < generation:
        return Act.REFUSE
    if row.target is None:
        return Act.REST
    if prepared != row.target[1]:
        return Act.PREPARE
    if row.state is Wish.ACTIVE and (served != row.target or row.generation > generation):
        return Act.ACTIVATE
    return Act.REST
