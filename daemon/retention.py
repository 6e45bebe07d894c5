"""Retention: what retraind put into `inbox/rejected` goes when it is old enough.

Level 3. What was refused is kept for whoever wants to mend it, not for ever.
"""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import structlog

from daemon.home import Home
from daemon.names import BAD_ROWS, REPORT

DAY = 86_400.0

MOST = 1_000
"""Drops that one call deals with at most: the loop has other things to do."""

MOST_JUMP = 300.0
"""Seconds by which the clock may have been set between two calls: after more, nobody knows yet how old anything is."""

log = structlog.get_logger()


class Retention:
    """Removes refused drops, their reports and `.bad.csv` files once they have lain there for `days`; 0: never.

    Files of others stay, and so do folders.
    """

    def __init__(self, home: Home, days: float) -> None:
        self._home, self._days = home, days
        self._ahead: float | None = None
        """Seconds since 1970 at monotonic 0, by the last call."""

    def sweep(self, now: float, monotonic: float) -> int:
        """Remove what is old at `now` (seconds since 1970); returns how many files.

        It lists the folder, so once an hour is often enough. The first call removes nothing, nor does one after the clock was
        set: a clock that is wrong, as many are right after a start, makes everything old. A file that can't be removed is
        logged and left; raises OSError if the folder can't be read.
        """
        before, self._ahead = self._ahead, now - monotonic
        if self._days == 0 or before is None:
            return 0
        if abs(self._ahead - before) > MOST_JUMP:
            log.warning("clock_was_set", seconds=round(self._ahead - before), hint="Old files are looked for later.")
            return 0
        removed, stuck = 0, []
        for paths in islice(self._due(now), MOST):
            try:
                for path in paths:
                    path.unlink(missing_ok=True)
                    removed += 1
            except OSError as error:
                stuck.append(f"{path.name!a:.100}: {error.strerror}")
        if stuck:
            log.warning("rejected_files_stay", files=len(stuck), first=stuck[0], hint="Remove them by hand.")
        if removed:
            log.info("rejected_files_removed", files=removed, days=self._days)
        return removed

    def _due(self, now: float) -> Iterator[list[Path]]:
        """Old files, in no order; a refused drop comes with its report, which is what tells it from files of others."""
        ages = _times(self._home.rejected)
        # What says that it is older than the home itself was written by a clock that was wrong.
        begin, limit = _created(self._home, now), now - self._days * DAY
        for name, since in ages.items():
            report = name + REPORT
            alone = name.endswith(REPORT) and name.removesuffix(REPORT) not in ages
            if begin <= since < limit and (alone or report in ages or name.endswith(BAD_ROWS)):
                yield [self._home.rejected / one for one in (name, report) if one in ages]


def _created(home: Home, now: float) -> float:
    """When the home was made, or a day before, by files that are written once; 0 if a clock was wrong then."""
    marks = (home.token, home.data / ".dvc/config")
    made = min((mark.stat().st_mtime for mark in marks if mark.exists()), default=0.0)
    # A day, because whoever copies a home gives all its files new times in any order.
    return made - DAY if made < now else 0.0


def _times(folder: Path) -> dict[str, float]:
    """Since when each file lies there, by name; a symlink is a file, its target is not."""
    times = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # somebody else has removed it
                continue
            # Moving a file leaves its mtime as it was, maybe years ago; its ctime says since when it lies here.
            if not stat.S_ISDIR(found.st_mode):
                times[entry.name] = max(found.st_mtime, found.st_ctime)
    return times
