"""The baseline: the promoted versions that a challenger may not fall below.

Level 4. Without it a champion that has lost a little at every step would be an ever easier one.
"""

from collections.abc import Sequence
from typing import Any

from daemon.journal import Journal
from daemon.settings import Promote

CHOSEN = "chosen_version"
"""The journal remembers here what a person put in place last, and the newest version then: [version, newest]."""


def versions(journal: Journal, settings: Promote) -> Sequence[Any]:
    """The last versions that were promoted since a person chose one, as the journal's rows, newest first."""
    chosen, newest = journal.get(CHOSEN) or (0, 0)
    return journal.promoted(settings.baseline_versions, chosen, newest)


def numbers(journal: Journal, settings: Promote, served: int | None) -> list[int]:
    """Their numbers and that of the served one, oldest first."""
    kept = {row["version"] for row in versions(journal, settings)}
    return sorted(kept | ({served} if served is not None else set()))
