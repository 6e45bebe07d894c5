"""The baseline: the promoted versions that a challenger may not fall below.

Without it a champion that has lost a little at every step would be an ever easier one.
"""

import orjson

from daemon.core.journal_rows import VersionRow
from daemon.core.settings import Promote
from daemon.gate.terms import Terms
from daemon.schema.arrival_times import Era
from daemon.schema.scores import PastScores, Scores
from daemon.storage.journal import Journal

CHOSEN = "chosen_version"
"""The journal remembers here what a person put in place last, and the newest version then: [version, newest]."""


def versions(journal: Journal, settings: Promote) -> list[VersionRow]:
    """The last versions that were promoted since a person chose one, as the journal's rows, newest first."""
    chosen, newest = journal.key_values.get(CHOSEN) or (0, 0)
    return journal.versions.promoted(settings.baseline_versions, chosen, newest)


def numbers(journal: Journal, settings: Promote, served: int | None) -> list[int]:
    """Their numbers and that of the served one, oldest first."""
    kept = {row["version"] for row in versions(journal, settings)}
    return sorted(kept | ({served} if served is not None else set()))


def gate_terms(journal: Journal, settings: Promote, served: int | None) -> Terms:
    """What a training has to know of the verdict on it.

    The era belongs to the served version: who goes back to one of before the world changed is judged as before.
    """
    champion = None if served is None else journal.versions.get(served)
    era = None if champion is None else Era.of(orjson.loads(champion["scores"]))
    past = [(row["version"], _of_reference(orjson.loads(row["scores"]))) for row in versions(journal, settings)]
    return {"promote": settings.model_dump(), "past": past, "era": era and (era.since, era.until)}


def _of_reference(scores: Scores) -> PastScores:
    """What a verdict looks at in the scores of an earlier version."""
    reference = (scores.get("challenger") or {}).get("reference")
    return {"challenger": {"reference": reference} if reference else {}, "split": scores.get("split")}
