"""retraind.daemon.dataset.segment_tiers: segments stay few, and no byte is written often."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retraind.daemon.dataset import segment_tiers
from retraind.daemon.dataset.segment_tiers import FAN, MOST_BYTES


def grown(sizes: list[int]) -> tuple[list[Any], int]:
    """The live segments after batches of these sizes (bytes), merged whenever it is due, and all bytes ever written."""
    live: list[Any] = []
    written = 0
    for batch, size in enumerate(sizes):
        live.append({"name": str(batch), "tier": segment_tiers.tier_of(size), "first": batch, "bytes": size})
        written += size
        while due := segment_tiers.due(live):
            old = [one for one in live if one["name"] in due]
            merged = {"name": f"m{due[0]}", "tier": 1 + max(one["tier"] for one in old), "first": old[0]["first"]}
            live = [one for one in live if one["name"] not in due] + [{**merged, "bytes": sum(o["bytes"] for o in old)}]
            written += live[-1]["bytes"]
    return live, written


@pytest.mark.parametrize(
    ("batches", "size", "most"), [(20_000, 1_500, 60), (5_000, 100_000, 60), (300, 70_000_000, 300)]
)
def test_segments_stay_few_and_bytes_bounded(batches: int, size: int, most: int) -> None:
    """The number grows with the logarithm of the batches; no byte is written more than four times."""
    live, written = grown([size] * batches)
    assert len(live) <= most
    assert written <= 4 * size * batches
    assert sum(one["bytes"] for one in live) == size * batches
    assert min(one["first"] for one in live) == 0


@given(st.lists(st.integers(100, 2 * MOST_BYTES), max_size=200))
def test_merging_comes_to_rest(sizes: list[int]) -> None:
    """Whatever the sizes: never more than a tier full of what could still be merged, and nothing is lost."""
    live, _ = grown(sizes)
    assert sum(one["bytes"] for one in live) == sum(sizes)
    for tier in {one["tier"] for one in live}:
        oldest = sorted((one for one in live if one["tier"] == tier), key=lambda one: int(one["first"]))[:FAN]
        assert len(oldest) < FAN or sum(one["bytes"] for one in oldest) > MOST_BYTES
