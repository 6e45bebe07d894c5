"""Repacking keeps the files that batches leave in `data/` few and small, in the background.

git writes three loose objects per batch. They are packed, each pack at least twice as large as the next, so that little
is rewritten. An object is removed only once it is in a pack, reachable or not. DVC writes a list of the segments for
each revision. An old list that no training used is removed, because it can be composed from the journal. Segments are
never removed here.
"""

import subprocess
from pathlib import Path

from retraind.daemon.core import logs
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import git_command
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

LOOSE = 2000
"""Estimated number of loose objects from which packing is worthwhile."""

LOOKED_AT = [f"{number:02x}" for number in range(0, 256, 16)]
"""Sampled folders: names are hashes, so a sixteenth of the folders holds about a sixteenth of the objects."""

REPACK = ("repack", "--geometric=2", "-d", "-n", "-q")

PACK_SECONDS = 3600.0
"""Time limit; packing millions of objects takes minutes. A longer run is stopped and tried again later."""

AGAIN_SECONDS = 3600.0
"""Seconds before the next attempt after a failure."""

KEEP_LISTS = 1000
"""Number of the newest revisions whose lists are always kept."""

LISTS = 500
"""Revisions per call."""

CURSOR = "lists_removed_until"


class Repacking:
    """Packs git's objects in a process of its own and removes old lists; used by the loop thread, a few times a minute."""

    def __init__(self, home: Home, journal: Journal) -> None:
        self._home, self._journal, self._cache = home, journal, Cache(home.data)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._again_at = 0.0
        self._failed = False

    def step(self, now: float) -> None:
        """Do a little work; `now` is monotonic seconds. Raises DatasetDamaged from a failed packing until one succeeds."""
        self._remove_lists()
        if self._process is not None:
            self._look(self._process, now)
        elif now >= self._again_at and _loose(self._home.data / ".git/objects") >= LOOSE:
            self._process, self._started = git_command.start(self._home.data, *REPACK), now
        if self._failed:
            raise DatasetDamaged(f"git can't pack the history in {self._home.data}.", hint="Run `retraind doctor`.")

    def close(self) -> None:
        """End the process; its unfinished pack is discarded, and no object is lost."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
            self._sweep()

    def _look(self, process: subprocess.Popen[bytes], now: float) -> None:
        code = process.poll()
        if code is None and now - self._started < PACK_SECONDS:
            return
        self.close()
        if code == 0:
            log.info("packed", seconds=round(now - self._started))
            self._failed = False
            return
        self._again_at = now + AGAIN_SECONDS
        self._failed = self._failed or (code is not None and code > 0)
        log.warning("not_packed", code=code)

    def _sweep(self) -> None:
        """Remove our own unfinished files: only this process packs here, and it has just ended."""
        for path in (self._home.data / ".git/objects/pack").glob(".tmp-*"):
            path.unlink(missing_ok=True)

    def _remove_lists(self) -> None:
        """Remove DVC's lists of old revisions that no training used."""
        revisions = self._journal.batches.revisions(int(self._journal.key_values.get(CURSOR) or 0), KEEP_LISTS, LISTS)
        for revision in revisions:
            if not revision["needed"]:
                self._cache.path(revision["dvc_md5"]).unlink(missing_ok=True)
        if revisions:
            self._journal.key_values.put(CURSOR, revisions[-1]["seq"])


def _loose(objects: Path) -> int:
    """The estimated number of loose objects."""
    folders = [objects / name for name in LOOKED_AT if (objects / name).is_dir()]
    return sum(1 for folder in folders for _ in folder.iterdir()) * 256 // len(LOOKED_AT)
