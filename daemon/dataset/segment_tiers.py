"""Decides when segments are merged, by size tiers as in a log-structured merge tree (O'Neil et al., 1996).

FAN segments of a tier become one of the next, so their number grows with the logarithm of the number of batches.
"""

from collections.abc import Iterable

from retraind.daemon.core.journal_rows import SegmentRow

FAN = 16
"""Number of segments in a tier that are merged: fewer would rewrite each row more often, more would slow commits."""

MOST_BYTES = 64 * 1024 * 1024
"""Maximum size of a merged segment; beyond it, rewriting rows gains nothing."""


def due(live: Iterable[SegmentRow]) -> list[str]:
    """Names of the `live` segments to merge next, oldest first; empty if merging gains nothing."""
    tiers: dict[int, list[SegmentRow]] = {}
    for segment in sorted(live, key=lambda segment: segment["first"]):
        tiers.setdefault(segment["tier"], []).append(segment)
    for tier in sorted(tiers):
        oldest = tiers[tier][:FAN]
        if len(oldest) == FAN and sum(segment["bytes"] for segment in oldest) <= MOST_BYTES:
            return [segment["name"] for segment in oldest]
    return []


def tier_of(size: int) -> int:
    """The first tier of a new segment of `size` bytes; large segments skip the lower tiers."""
    tier = 0
    while size > 262_144 * FAN**tier and size < MOST_BYTES:
        tier += 1
    return tier
