"""Attempts to read: the journal records drops before they are read, to identify one that kills the process.

After a crash while reading, the same drops are tried again, then half of them, and so on. A single drop that has failed
alone TRIES times is rejected, and all others are read.
"""

import errno
from collections.abc import Iterable, Mapping

from retraind.daemon.core import logs
from retraind.daemon.core.inbox_names import shown
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.storage.journal import Journal

KEY = "reading"

TRIES = 3

LATER_SECONDS = 20.0
"""Seconds that other drops go first after a drop could not be read through no fault of its own."""

UNREADABLE = {errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.EBADMSG, errno.EUCLEAN, errno.ETIMEDOUT}
"""Read errors that concern the file or its location, not the machine."""

log = logs.Logger()


class Attempts:
    """The drops of the batch in progress and their numbers of attempts; used by the loop thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._tries, self._alone = 0, 0
        self._drops: dict[str, list[int]] = {}
        self._later: dict[str, float] = {}
        self._unreadable: set[str] = set()
        """Drops that the journal has already reported as unreadable."""
        self.reload()

    def reload(self) -> None:
        """Discard state that a failed transaction did not record."""
        stored = self._journal.key_values.get(KEY) or {}
        self._tries, self._alone = stored.get("tries", 0), stored.get("alone", 0)
        self._drops = stored.get("drops", {})

    def choose(self, settled: Mapping[str, Stamp], now: float) -> list[str]:
        """The settled drops to read next; unfinished ones come first, in ever smaller groups.

        A single drop that failed through no fault of its own is skipped for a while. `now` is monotonic seconds.
        """
        self._later = {name: until for name, until in self._later.items() if now < until and name in settled}
        self._unreadable &= settled.keys()
        ready = {name: stamp for name, stamp in settled.items() if name not in self._later}
        begun = [name for name, stamp in ready.items() if self._drops.get(name) == _stamp(stamp)]
        if not begun:
            self._tries, self._alone, self._drops = 0, 0, {}
            return list(ready)
        return begun[: max(1, len(begun) >> max(0, self._tries - 1))]

    def begin(self, names: Mapping[str, Stamp]) -> bool:
        """Record that these drops are read now; False for a single drop that has used up its attempts."""
        same = names.keys() == self._drops.keys()
        if same and self._alone >= TRIES:
            return False
        tries = self._tries if names.keys() <= self._drops.keys() else 0
        alone = 0 if len(names) > 1 else 1 + (self._alone if same else 0)
        self._note(tries + 1, alone, {name: _stamp(stamp) for name, stamp in names.items()})
        return True

    def end(self) -> None:
        """Record that they are done, in the transaction with their outcome."""
        self._note(0, 0, {})

    def forgive(self, now: float) -> None:
        """Note that a failure was not the drops' fault (a full disk, say).

        It still halves the group, but rejects no drop.
        """
        if len(self._drops) == 1:
            self._later |= dict.fromkeys(self._drops, now + LATER_SECONDS)
            self._note(0, 0, {})
        else:
            self._note(self._tries, 0, self._drops)

    def postpone(self, names: Iterable[str], until: float) -> None:
        """End the attempt, and skip these drops until a time (monotonic seconds), because they can't be decided yet."""
        self._later |= dict.fromkeys(names, until)
        self.end()

    def skip_unreadable(self, name: str, error: OSError, now: float) -> None:
        """Skip an unreadable drop for a while, and report it once.

        Raises the error again if it does not concern the drop.
        """
        if error.errno not in UNREADABLE:
            raise error
        self._later[name] = now + LATER_SECONDS
        if name not in self._unreadable:
            self._unreadable.add(name)
            reason = f"{shown(name)} can't be read: {error.strerror}. It is tried again every {LATER_SECONDS:g} s."
            self._journal.events.record(
                EventKind.PROBLEM, f"{reason} Copy it again, or remove it.", level=Level.WARNING
            )
            log.warning("drop_not_read", name=shown(name), reason=str(error))

    def _note(self, tries: int, alone: int, drops: dict[str, list[int]]) -> None:
        self._journal.key_values.put(KEY, {"tries": tries, "alone": alone, "drops": drops})
        self._tries, self._alone, self._drops = tries, alone, drops


def _stamp(stamp: Stamp) -> list[int]:
    return [stamp.inode, stamp.size, stamp.modified]
