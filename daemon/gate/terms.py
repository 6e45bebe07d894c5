"""Terms: what a training has to know of the verdict on its version, as the daemon tells it."""

from collections.abc import Mapping
from typing import TypedDict

from daemon.schema.scores import PastScores


class Terms(TypedDict):
    """By what a version will be judged."""

    promote: Mapping[str, object]
    """The `[promote]` settings."""
    past: list[tuple[int, PastScores]]
    """Promoted versions, and the scores by which the best of them is found."""
    era: tuple[int, int] | None
    """Since when and until when (ms since 1970) rows are the reference; None: those of the first revision."""
