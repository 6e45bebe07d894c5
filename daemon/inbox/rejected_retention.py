"""Retention: rejected files in `inbox/rejected` are removed when they are old enough.

They are kept so that people can correct them, for a limited time.
"""

import stat
from collections.abc import Iterator
from itertools import islice

from daemon.core import clock, logs, shared_folder
from daemon.core.clock import Clock, Reading
from daemon.core.home import Home
from daemon.core.inbox_names import BAD_ROWS, REPORT
from daemon.inbox.rejected_folder import Rejected

MOST = 1_000
"""Drops that one call removes at most: the loop has other things to do."""

log = logs.Logger()


class Retention:
    """Removes rejected drops, their reports and `.bad.csv` files once they have lain there for `days`; 0: never.

    Files of others stay, and so do folders.
    """

    def __init__(self, home: Home, days: float) -> None:
        self._home, self._days = home, days
        self._clock = Clock()

    def sweep(self, now: Reading) -> int:
        """Remove what is old now; returns how many files.

        It lists the folder, so once an hour is often enough. The first call removes nothing, nor does one after the clock was
        set: a clock that is wrong, as many are right after a start, makes everything old. A file that can't be removed is
        logged and left; raises OSError if the folder can't be read, Unavailable if it is not ours.
        """
        trusted = self._clock.trusts(now)
        if self._days == 0 or not trusted:
            return 0
        rejected = Rejected.of(shared_folder.inbox(self._home))
        removed, stuck = 0, []
        for names in islice(self._due(rejected, now.wall), MOST):
            try:
                for name in names:
                    rejected.remove(name)
                    removed += 1
            except OSError as error:
                stuck.append(f"{name!a:.100}: {error.strerror}")
        if stuck:
            log.warning("rejected_files_stay", files=len(stuck), first=stuck[0], hint="Remove them by hand.")
        if removed:
            log.info("rejected_files_removed", files=removed, days=self._days)
        return removed

    def _due(self, rejected: Rejected, now: float) -> Iterator[list[str]]:
        """Old files, in no order; a rejected drop comes with its report, which distinguishes it from files of others."""
        ages = _times(rejected)
        begin, limit = clock.made(self._home, now), now - self._days * clock.DAY
        for name, since in ages.items():
            report = name + REPORT
            alone = name.endswith(REPORT) and name.removesuffix(REPORT) not in ages
            if begin <= since < limit and (alone or report in ages or name.endswith(BAD_ROWS)):
                yield [file for file in (name, report) if file in ages]


def _times(rejected: Rejected) -> dict[str, float]:
    """Since when each file lies there, by name; a symlink is a file, its target is not."""
    times = {}
    for entry in rejected.entries():
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # another program has removed it
            continue
        # Moving a file leaves its mtime as it was, maybe years ago; its ctime says since when it lies here.
        if not stat.S_ISDIR(status.st_mode):
            times[entry.name] = max(status.st_mtime, status.st_ctime)
    return times
