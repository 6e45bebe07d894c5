"""What leader and node do next."""

import pytest

from retraind.daemon.artifacts.manifest import Pointer
from retraind.daemon.core.node.messages import Desired, NodeReport, NodeState, Wish
from retraind.daemon.nodes.decisions import PREPARE_SECONDS, Act, act, following

ROW = Desired(generation=7, epoch=2, version=3, manifest="aa", state=Wish.ACTIVE, leader="")
PREPARING = ROW.model_copy(update={"state": Wish.PREPARE})
NOTHING = ROW.model_copy(update={"state": Wish.NONE, "version": None, "manifest": None})
SAME = Pointer(version=3, manifest="aa", since="")
OTHER = Pointer(version=4, manifest="bb", since="")


def report(generation: int, state: NodeState, age: float = 0.0) -> NodeReport:
    return NodeReport(name="one", generation=generation, state=state, version=3, age=age)


LIVE = report(7, NodeState.SERVING)


def test_pointer_that_moves_is_prepared_where_nodes_live() -> None:
    fresh = following(OTHER, ROW, [LIVE], 0)
    assert fresh is not None
    assert (fresh.generation, fresh.epoch, fresh.target, fresh.state) == (8, 2, (4, "bb"), Wish.PREPARE)


@pytest.mark.parametrize("reports", [[], [report(7, NodeState.SERVING, 6.0)]])
def test_without_a_live_node_nothing_is_waited_for(reports: list[NodeReport]) -> None:
    fresh = following(OTHER, ROW, reports, 0)
    assert fresh is not None
    assert fresh.state is Wish.ACTIVE


def test_leader_that_has_lost_its_pointer_takes_nothing_from_nodes() -> None:
    """It is a new disk, or a damaged bundle that another one is about to replace."""
    assert following(None, ROW, [LIVE], 60) is None


@pytest.mark.parametrize(
    ("reports", "waited", "activates"),
    [
        ([report(7, NodeState.PREPARED)], 0, True),
        ([report(7, NodeState.FAILED)], 0, True),
        ([report(7, NodeState.PREPARING)], 0, False),
        ([report(6, NodeState.SERVING)], 0, False),
        ([report(7, NodeState.PREPARED), report(7, NodeState.PREPARING)], 0, False),
        ([report(7, NodeState.PREPARED), report(6, NodeState.SERVING, 60.0)], 0, True),
        ([report(7, NodeState.PREPARING)], PREPARE_SECONDS, True),
    ],
)
def test_version_is_activated_when_live_nodes_have_it_or_time_is_up(
    reports: list[NodeReport], waited: float, activates: bool
) -> None:
    fresh = following(SAME, PREPARING, reports, waited)
    assert (fresh is not None) == activates
    if fresh is not None:
        assert (fresh.generation, fresh.state) == (7, Wish.ACTIVE)


def test_what_is_served_everywhere_is_left_alone() -> None:
    assert following(SAME, ROW, [LIVE], 60) is None


def test_held_version_is_named_beside_the_served_one() -> None:
    """Within the generation: no node has to do anything before it is live."""
    trying = following(SAME, ROW, [LIVE], 0, (5, "cc"))
    assert trying is not None
    assert (trying.generation, trying.state, trying.target, trying.tried) == (7, Wish.ACTIVE, (3, "aa"), (5, "cc"))
    assert following(SAME, trying, [LIVE], 0, (5, "cc")) is None
    alone = following(SAME, trying, [LIVE], 0)
    assert alone is not None
    assert alone.tried is None


def test_promoted_challenger_is_prepared_as_any_version() -> None:
    trying = ROW.model_copy(update={"challenger": 4, "challenger_manifest": "bb"})
    fresh = following(OTHER, trying, [LIVE], 0)
    assert fresh is not None
    assert (fresh.generation, fresh.state, fresh.target, fresh.tried) == (8, Wish.PREPARE, (4, "bb"), None)


@pytest.mark.parametrize(
    ("row", "generation", "prepared", "served", "expected"),
    [
        (ROW, 7, "aa", (3, "aa"), Act.REST),
        (ROW, 6, None, (2, "00"), Act.PREPARE),
        (ROW, 6, "00", (2, "00"), Act.PREPARE),
        (PREPARING, 6, "aa", (2, "00"), Act.REST),
        (ROW, 6, "aa", (2, "00"), Act.ACTIVATE),
        (ROW, 6, "aa", (3, "aa"), Act.ACTIVATE),
        (ROW, 7, "aa", None, Act.ACTIVATE),
        (ROW, 8, "aa", (4, "bb"), Act.REFUSE),
        (NOTHING, 7, None, None, Act.REST),
    ],
)
def test_node_follows_newer_generations_only(
    row: Desired, generation: int, prepared: str | None, served: tuple[int, str] | None, expected: Act
) -> None:
    assert act(row, generation, prepared, served) is expected
