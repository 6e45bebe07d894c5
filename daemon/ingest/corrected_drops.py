"""Corrected drops: an accepted file ends the attention that an earlier file asks for, if it stands in its place.

It does so if it has the same bytes (the schema was corrected) or the name of a rejected file. For rejected rows of an
accepted file it must also have most of the file's good rows, or be its file of bad rows.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from retraind.daemon.core.inbox_names import shown
from retraind.daemon.core.journal.acknowledgement import OpenRefusal
from retraind.daemon.core.states import EventKind
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.schema.schema import REMARKS
from retraind.daemon.storage.journal import Journal

REACH = timedelta(days=7)
"""Age of the oldest events that are looked at."""

MOST = 1_000
"""Maximum number of open events that are looked at, so that a flood of rejected files delays no batch."""

NAMED = 3


def acknowledge(journal: Journal, accepted: Sequence[Reading], batch: int) -> None:
    """End the attention for the files that these drops of a batch replace, as part of the transaction that accepts them."""
    since = (datetime.now(UTC) - REACH).isoformat(timespec="milliseconds")
    by_key: dict[str, list[OpenRefusal]] = defaultdict(list)
    for refusal in journal.acknowledgements.open_refusals(since, MOST):
        if refusal["batch"] != batch:
            for key in {refusal["name"], refusal["drop"], refusal["bad_file"]} - {None}:
                by_key[str(key)].append(refusal)
    done: set[int] = set()
    for reading in accepted if by_key else ():
        replaced = {row["id"]: row for row in _candidates(by_key, reading) if _replaces(reading, row)}
        ended = [row for number, row in sorted(replaced.items()) if number not in done]
        if ended:
            journal.acknowledgements.record(ended, f"the accepted file {shown(reading.drop.name)}")
            message = _sentence(shown(reading.drop.name), ended)
            journal.events.record(EventKind.HEALED, message, drop=reading.drop.sha256, batch=batch)
            done.update(replaced)


def _candidates(by_key: Mapping[str, list[OpenRefusal]], reading: Reading) -> list[OpenRefusal]:
    return [row for key in (shown(reading.drop.name), reading.drop.sha256) for row in by_key.get(key, [])]


def _replaces(reading: Reading, refusal: OpenRefusal) -> bool:
    """Whether a drop stands in the place of an earlier one that has its name, its bytes, or a file of bad rows of its name."""
    if refusal["kind"] == EventKind.REJECTED or shown(reading.drop.name) == refusal["bad_file"]:
        return True
    remarked = reading.header is not None and reading.header.names[: len(REMARKS)] == REMARKS
    return remarked or 2 * reading.rows_known >= max(1, refusal["rows_accepted"])


def _sentence(name: str, ended: Sequence[OpenRefusal]) -> str:
    files = [f"{row['name']} (of {row['at'][:16].replace('T', ' ')} UTC)" for row in ended[:NAMED]]
    more = f" and {len(ended) - NAMED} more" if len(ended) > NAMED else ""
    return (
        f"{name} was accepted and stands in the place of {', '.join(files)}{more}, which asks for attention no longer. "
        "Its rejected rows stay in inbox/rejected; if they are others, drop them as well."
    )
