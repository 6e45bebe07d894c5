"""Reasons to look at data or at the served version although all work succeeds. Pure functions of facts."""

from typing import NamedTuple

from retraind.daemon.records.search import open_faults
from retraind.daemon.schema.score_names import counted
from retraind.web.dashboard.facts import Facts


class Doubt(NamedTuple):
    """Something to look at, in a few words and in a sentence with what to do."""

    headline: str
    sentence: str


def of_data(facts: Facts) -> Doubt | None:
    """Suspicious drops that were accepted, or files that were not answered; None without any."""
    if facts.faults.suspicious:
        newest = facts.faults.suspicious[0]
        headline = f"{counted(len(facts.faults.suspicious), 'suspicious drop')} accepted"
        return Doubt(headline, f"{newest['message']} {look(newest['id'])}")
    if facts.faults.unanswered:
        count = len(facts.faults.unanswered)
        return Doubt(f"{counted(count, 'file')} not answered", facts.faults.unanswered[0]["message"])
    return None


def look(drop: int) -> str:
    """What to do about a suspicious drop, by its id."""
    return f"Look at it: acknowledge it if it is right, or remove its rows with `retraind forget {drop}`."


def of_training(facts: Facts) -> str:
    """Why the rows that trained the served version are in doubt; empty if they are not."""
    if facts.faults.forgotten:
        return (
            f"v{facts.number} was trained on rows that have been forgotten since: {open_faults.named(facts.faults.forgotten)}. "
            "Serve a version that was trained without them."
        )
    within = [drop for drop in facts.faults.suspicious if drop["batch"] <= facts.faults.champion_batch]
    if within:
        return f"v{facts.number} was trained on suspicious rows: {open_faults.named(within)}. {look(within[0]['id'])}"
    return ""
