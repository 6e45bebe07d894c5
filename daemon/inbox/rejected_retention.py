"""Retention: removes old files from `inbox/rejected`. They are kept for a limited time so that people can correct them."""

import stat
from collections.abc import Iterator
from itertools import islice

from retraind.daemon.core import clock, logs, shared_folder
from retraind.daemon.core.clock import Clock, Reading
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import BAD_ROWS, REPORT
from retraind.daemon.inbox.rejected_folder import Rejected

MOST = 1_000
"""Maximum number of drops that one call removes, because the loop has other work."""

log = logs.Logger()


class Retention:
    """Removes rejected drops, their reports and `.bad.csv` files after `days`; 0: never.

    Other users' files and folders stay.
    """

    def __init__(self, home: Home, days: float) -> None:
        self._home, self._days = home, days
        self._clock = Clock()

    def sweep(self, now: Reading) -> int:
        """Remove old files; returns their number.

        It lists the folder, so once an hour is often enough. The first call removes nothing, and neither does a call
        after the clock was set, because a wrong clock, common right after a boot, makes everything look old. A file
        that can't be removed is logged and left; raises OSError if the folder can't be read, Unavailable if it is not
        ours.
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
        """Old files, unordered; a rejected drop comes with its report, which distinguishes it from other users' files."""
        ages = _times(rejected)
        begin, limit = clock.made(self._home, now), now - self._days * clock.DAY
        for name, since in ages.items():
            report = name + REPORT
            alone = name.endswith(REPORT) and name.removesuffix(REPORT) not in ages
            if begin <= since < limit and (alone or report in ages or name.endswith(BAD_ROWS)):
                yield [file for file in (name, report) if file in ages]


def _times(rejected: Rejected) -> dict[str, float]:
    """Since when each file has been there, by name; a symlink counts as itself, not as its target."""
    times = {}
    for entry in rejected.entries():
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # another program has removed it
            continue
        # A moved file keeps its mtime, maybe years old; its ctime shows since when it has been here.
        if not stat.S_ISDIR(status.st_mode):
            times[entry.name] = max(status.st_mtime, status.st_ctime)
    return times
