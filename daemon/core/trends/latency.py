"""The buckets in which HTTP workers count the durations of prediction requests, and quantiles from them."""

from collections.abc import Mapping, Sequence

BOUNDS = (
    *(0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.0007),
    *(0.001, 0.0015, 0.002, 0.003, 0.005, 0.007),
    *(0.01, 0.015, 0.02, 0.03, 0.05, 0.07),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.7),
    *(1.0, 1.5, 2.0, 3.0, 5.0),
)
"""Upper bounds of the latency buckets in seconds; one more bucket counts slower requests."""

NAMES = (*(f"{bound:g}" for bound in BOUNDS), "inf")
"""The names of the buckets in figures over time."""

CHECKS = ("/health", "/readyz", "/leadz", "/v2/health/ready")
"""Routes whose 503 is an answer, not a failure."""


def counts(named: Mapping[str, int]) -> list[int]:
    """The counts of all buckets, from counts by name."""
    return [named.get(name, 0) for name in NAMES]


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """The duration (seconds) that `share` (0-1) of the requests did not exceed; None without any.

    `buckets` has a count for each bound and one for slower requests.
    """
    rank, seen = share * sum(buckets), 0
    if not rank:
        return None
    for index, number in enumerate(buckets):
        if number and seen + number >= rank:
            low = BOUNDS[index - 1] if index else 0.0
            high = BOUNDS[index] if index < len(BOUNDS) else BOUNDS[-1]
            return low + (high - low) * (rank - seen) / number
        seen += number
    return BOUNDS[-1]
