"""The terms of a verdict: the daemon passes them to a training, so that it compares its version as the gate will."""

from collections.abc import Mapping
from typing import TypedDict

from retraind.daemon.schema.scores import PastScores


class Terms(TypedDict):
    """The terms by which a version will be judged."""

    promote: Mapping[str, object]
    """The `[promote]` settings."""
    past: list[tuple[int, PastScores]]
    """Promoted versions with the scores that determine the best of them."""
    era: tuple[int, int] | None
    """First and last time (ms since 1970) of the reference rows; None: the rows of the first revision."""
