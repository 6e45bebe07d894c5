"""Three nodes behind HAProxy, as examples/ configures it: whatever happens to one of them or behind them, no request fails.

As root each node is in a network namespace of its own, and its link can be cut.
"""

from collections.abc import Callable, Iterator

import postgres as servers
import pytest

from benchmarks import haproxy, network
from benchmarks.serve import node_faults, serve_open
from benchmarks.serve.node_cluster import cluster
from benchmarks.serve.node_faults import Faults, Journey
from benchmarks.serve.swaps import two_versions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RATE = 50
OUTAGE_SECONDS = 20.0


@pytest.fixture(scope="module")
def faults() -> Iterator[Faults]:
    """The cluster; the tests leave it as it was."""
    servers.required()
    if haproxy.PROGRAM is None:
        pytest.skip("HAProxy is not installed (Debian, Ubuntu: apt install haproxy)")
    if reason := serve_open.missing():
        pytest.skip(reason)
    with cluster(3) as place:
        versions = two_versions(place.leader)
        for node in place.nodes:
            place.wait_serves(node, versions[1])
        yield Faults(place, RATE, versions)


@pytest.fixture(scope="module")
def journeys() -> list[Journey]:
    """What has happened so far."""
    return []


def outage(faults: Faults) -> float:
    """PostgreSQL and the store are away."""
    return faults.outage(OUTAGE_SECONDS)


@pytest.mark.parametrize("fault", [outage, Faults.rolling_restart, Faults.kill, Faults.hang, Faults.cut])
def test_no_request_fails(faults: Faults, journeys: list[Journey], fault: Callable[[Faults], float]) -> None:
    """And each answer comes from one version."""
    if fault is Faults.cut and (reason := network.missing()):
        pytest.skip(reason)
    journey = faults.under_load(fault.__name__, lambda: fault(faults))
    journeys.append(journey)
    answers = journey.answers
    assert answers.failed.total() == 0, answers.failed
    assert answers.unclear == answers.mixed == 0
    assert len(answers.records) > RATE * answers.seconds * 0.9
    assert set(answers.good["body"].tolist()) <= set(faults.versions)


def test_each_answer_is_in_the_history_of_the_leader_once(faults: Faults, journeys: list[Journey]) -> None:
    assert journeys
    assert node_faults.history(faults.place, journeys) == (0, 0)
