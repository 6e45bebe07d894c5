"""When segments are merged, decided by their sizes: size-tiered, as in a log-structured merge tree (O'Neil et al., 1996).

FAN segments of a tier become one of the next, so their number grows with the logarithm of the number of batches.
"""

from collections.abc import Iterable

from daemon.core.journal_rows import SegmentRow

FAN = 16
"""Segments of one tier that become one: fewer would write each row more often, more would make commits slower."""

MOST_BYTES = 64 * 1024 * 1024
"""No merge makes a segment larger than this: from here on, writing rows once more gains nothing."""


def due(live: Iterable[SegmentRow]) -> list[str]:
    """Names of the `live` segments to be merged next, oldest first; none if there is nothing to gain."""
    tiers: dict[int, list[SegmentRow]] = {}
    for segment in sorted(live, key=lambda segment: segment["first"]):
        tiers.setdefault(segment["tier"], []).append(segment)
    for tier in sorted(tiers):
        oldest = tiers[tier][:FAN]
        if len(oldest) == FAN and sum(segment["bytes"] for segment in oldest) <= MOST_BYTES:
            return [segment["name"] for segment in oldest]
    return []


def tier_of(size: int) -> int:
    """The tier at which a new segment of `size` bytes begins: large ones have no need to be merged FAN by FAN."""
    tier = 0
    while size > 262_144 * FAN**tier and size < MOST_BYTES:
        tier += 1
    return tier
