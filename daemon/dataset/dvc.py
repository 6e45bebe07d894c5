"""DVC as a library: the only module that imports it.

The settings and caches of the user play no part: what DVC keeps for itself lies in the home, and it reports nothing to anyone.
"""

import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from daemon.core.errors import DatasetDamaged
from daemon.core.home import Home
from daemon.dataset import git

LEAST_BYTES, LEAST_FILES = 8 * 1024 * 1024, 64
"""Room on the disk without which nothing is added."""


class Dvc:
    """DVC's repository in `data/`, opened when it is first needed; used by one thread."""

    def __init__(self, home: Home) -> None:
        self._data, self._site = home.data, home.dvc_site
        self._repo: Any = None

    def isolate(self) -> None:
        """Give DVC and git folders and settings of our own, for this process; before anything else."""
        git.isolate()
        for name in [name for name in os.environ if name.startswith("DVC_")]:
            del os.environ[name]
        self._site.mkdir(mode=0o700, exist_ok=True)
        # DVC asks dulwich what git ignores, which looks into XDG_CONFIG_HOME whatever git's settings are.
        folders = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "XDG_CONFIG_HOME")
        os.environ.update(dict.fromkeys(folders, str(self._site)), DVC_NO_ANALYTICS="1")

    def reset(self) -> None:
        """Drop what DVC remembers of earlier runs; it is made again when it is needed."""
        self.close()
        shutil.rmtree(self._site, ignore_errors=True)
        self.isolate()

    def close(self) -> None:
        """Let go of DVC's caches and databases."""
        if self._repo is not None:
            self._repo.close()
            self._repo = None

    def add(self, folder: Path) -> None:
        """Take the present files of a folder into the cache and its pointer; raises DatasetDamaged, OSError."""
        _require_room(self._data)
        try:
            if self._repo is None:
                self._repo = _repo_class()(str(self._data))
            self._repo.add([str(folder)])
        except OSError:
            raise
        except Exception as error:  # DVC's exceptions have no common root that is part of its API
            self.close()
            raise DatasetDamaged(f"`dvc add` failed in {self._data}: {error}.") from error

    def pull(self, cache: Path) -> None:
        """Fetch what the pointer names from the `cache` of another repository, as from a remote; raises DatasetDamaged, OSError."""
        remote = {"remote": {"home": {"url": str(cache)}}, "core": {"remote": "home"}}
        repo = _repo_class()(str(self._data), config=remote)
        try:
            repo.pull()
        except OSError:
            raise
        except Exception as error:  # as in `add`
            raise DatasetDamaged(f"DVC can't fetch the segments into {self._data}: {error}.") from error
        finally:
            repo.close()


def _require_room(data: Path) -> None:
    """Fail before DVC does: while the disk is full its cache tries again without a pause, and never comes back."""
    room = os.statvfs(data)
    if room.f_bavail * room.f_frsize < LEAST_BYTES or (room.f_files and room.f_favail < LEAST_FILES):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(data))


def _repo_class() -> Any:
    """DVC's Repo class; the import sets up handlers that print advice, which is of no use in a daemon."""
    from dvc.repo import Repo

    for name in ("dvc", "dvc_objects", "dvc_data"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
    return Repo
