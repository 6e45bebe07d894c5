"""Opens drops: reads their bytes once, and sorts out those whose rows need no reading.

These are unreadable files, bytes that the dataset already has, forgotten drops, and drops that wait for a person.
"""

from collections.abc import Generator, Mapping

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest import outcomes
from retraind.daemon.ingest.held_drops import ReviewQueue
from retraind.daemon.ingest.read_attempts import Attempts
from retraind.daemon.ingest.reading.reading import Reading
from retraind.daemon.ingest.refused_drops import Refused
from retraind.daemon.storage.journal import Journal


class DropOpening:
    """Opens the drops of a batch; used by the loop thread."""

    def __init__(self, inbox: Inbox, journal: Journal, attempts: Attempts, holding: ReviewQueue) -> None:
        self._inbox, self._journal, self._attempts, self._holding = inbox, journal, attempts, holding

    def open(self, files: Mapping[str, Stamp], refused: Refused, now: float) -> Generator[None, None, list[Drop]]:
        """The drops whose rows must be read; the others go to `refused`, stay in the inbox, or are gone.

        `now` is monotonic seconds. Yields where other work may run.
        """
        drops = yield from self._read(files, refused, now)
        for sha256, batch in self._journal.drops.batches_of(drops).items():
            refused.repeat(drops.pop(sha256), batch, f"The same bytes are in batch {batch} already; they count once.")
        for sha256, forgotten in self._journal.erasures.among(drops).items():
            drop = drops.pop(sha256)
            refused.reject(drop.name, drop.stamp, Reading(drop), InvalidDrop(outcomes.forgotten(forgotten)))
        self._holding.sort(drops, refused)
        return list(drops.values())

    def _read(self, files: Mapping[str, Stamp], refused: Refused, now: float) -> Generator[None, None, dict[str, Drop]]:
        """The files with their content, by sha256."""
        drops: dict[str, Drop] = {}
        for name, stamp in files.items():
            try:
                drop = yield from self._inbox.reading(name, stamp)
            except InvalidDrop as error:
                refused.reject(name, stamp, None, error)
                continue
            except OSError as error:
                self._attempts.skip_unreadable(name, error, now)
                continue
            # If two files have the same bytes, the second waits for the outcome of the first.
            if drop is not None and drop.sha256 not in drops:
                drops[drop.sha256] = drop
        return drops
