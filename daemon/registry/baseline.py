"""The baseline: the promoted versions that a challenger may not fall below.

Without it, champions that each lose a little would be ever easier to match.
"""

import orjson

from retraind.daemon.core.journal_rows import VersionRow
from retraind.daemon.core.settings import Promote
from retraind.daemon.gate.terms import Terms
from retraind.daemon.schema.arrival_times import Era
from retraind.daemon.schema.scores import PastScores, Scores
from retraind.daemon.storage.journal import Journal

CHOSEN = "chosen_version"
"""The journal's key for a person's last choice, and the newest version at that time: [version, newest]."""


def versions(journal: Journal, settings: Promote) -> list[VersionRow]:
    """The last versions that were promoted since a person chose one, as the journal's rows, newest first."""
    chosen, newest = journal.key_values.get(CHOSEN) or (0, 0)
    return journal.versions.promoted(settings.baseline_versions, chosen, newest)


def numbers(journal: Journal, settings: Promote, served: int | None) -> list[int]:
    """Their numbers and the served version's, oldest first."""
    kept = {row["version"] for row in versions(journal, settings)}
    return sorted(kept | ({served} if served is not None else set()))


def gate_terms(journal: Journal, settings: Promote, served: int | None) -> Terms:
    """The terms of the verdict, for a training.

    The era is the served version's: after a return to a version from before a world change, the old reference judges
    again.
    """
    champion = None if served is None else journal.versions.get(served)
    era = None if champion is None else Era.of(orjson.loads(champion["scores"]))
    past = [(row["version"], _of_reference(orjson.loads(row["scores"]))) for row in versions(journal, settings)]
    return {"promote": settings.model_dump(), "past": past, "era": era and (era.since, era.until)}


def _of_reference(scores: Scores) -> PastScores:
    """The part of an earlier version's scores that a verdict uses."""
    reference = (scores.get("challenger") or {}).get("reference")
    return {"challenger": {"reference": reference} if reference else {}, "split": scores.get("split")}
