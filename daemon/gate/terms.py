"""The terms of a verdict: what the daemon passes to a training, so that it can compare its version as the gate will."""

from collections.abc import Mapping
from typing import TypedDict

from daemon.schema.scores import PastScores


class Terms(TypedDict):
    """What a version will be judged by."""

    promote: Mapping[str, object]
    """The `[promote]` settings."""
    past: list[tuple[int, PastScores]]
    """Promoted versions, and the scores by which the best of them is found."""
    era: tuple[int, int] | None
    """Since when and until when (ms since 1970) rows are the reference; None: those of the first revision."""
