"""Many changes of leader under ingestion, by the machinery of `benchmarks.ingest.leaders`: nothing is lost, doubled or written too late."""

import postgres as servers
import pytest

from benchmarks.ingest.leader_pair import pair
from benchmarks.ingest.leaders import LOSSES, counts, measure


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(len(LOSSES), marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
        pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(10_800)]),
    ],
)
def test_rows_are_there_once_and_no_deposed_leader_writes(changes: int) -> None:
    servers.required()
    with pair() as place:
        measure(place, changes, seed=changes)
        numbers = counts(place)
    assert numbers["rows dropped"] > 4 * changes
    assert (numbers["rows lost"], numbers["rows doubled"], numbers["transactions of a deposed leader"]) == (0, 0, 0)
    assert numbers["epochs"] > changes / 2
