"""Retention: files in `inbox/rejected` go when they are old enough.

Level 3. What was refused is kept for whoever wants to mend it, not for ever.
"""

import os
import stat
from pathlib import Path

import structlog

from daemon.home import Home

DAY = 86_400.0

MOST = 1_000
"""Files that one call removes at most: the loop has other things to do."""

log = structlog.get_logger()


def sweep(home: Home, days: float, now: float) -> int:
    """Remove files that have lain in `inbox/rejected` for more than `days` at `now` (seconds since 1970); returns how many.

    Refused drops, their reports and `.bad.csv` files; not folders. 0 days: nothing ever. It lists the folder, so once an hour
    is often enough. A file that can't be removed is logged and left; raises OSError if the folder can't be read.
    """
    if days == 0:
        return 0
    removed, stuck = 0, []
    for path in _due(home.rejected, now - days * DAY):
        try:
            path.unlink(missing_ok=True)
            removed += 1
        except OSError as error:
            stuck.append(f"{path.name!a:.100}: {error.strerror}")
    if stuck:
        log.warning("rejected_files_stay", files=len(stuck), first=stuck[0], hint="Remove them by hand.")
    if removed:
        log.info("rejected_files_removed", files=removed, days=days)
    return removed


def _due(folder: Path, limit: float) -> list[Path]:
    """Files that lie there since before `limit`, at most MOST, in no order; a symlink is one, its target is not."""
    due = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # somebody else has removed it
                continue
            # Moving a file leaves its mtime as it was, maybe years ago; its ctime says since when it lies here.
            if not stat.S_ISDIR(found.st_mode) and max(found.st_mtime, found.st_ctime) < limit:
                due.append(Path(entry.path))
                if len(due) == MOST:
                    break
    return due
