"""DVC as a library: the only module that imports it.

DVC's own state is in the home, so the user's settings and caches have no effect, and its telemetry is off.
"""

import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import git_command

LEAST_BYTES, LEAST_FILES = 8 * 1024 * 1024, 64
"""Bytes that must be free on the disk before anything is added."""


class Dvc:
    """DVC's repository in `data/`, opened at its first use; used by one thread."""

    def __init__(self, home: Home) -> None:
        self._data, self._site = home.data, home.dvc_site
        self._repo: Any = None

    def isolate(self) -> None:
        """Give DVC and git their own folders and settings in this process; called first."""
        git_command.isolate()
        for name in [name for name in os.environ if name.startswith("DVC_")]:
            del os.environ[name]
        self._site.mkdir(mode=0o700, exist_ok=True)
        # DVC asks dulwich which files git ignores, and dulwich reads XDG_CONFIG_HOME whatever git's settings are.
        folders = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "XDG_CONFIG_HOME")
        os.environ.update(dict.fromkeys(folders, str(self._site)), DVC_NO_ANALYTICS="1")

    def reset(self) -> None:
        """Discard DVC's cached state; it is rebuilt when needed."""
        self.close()
        shutil.rmtree(self._site, ignore_errors=True)
        self.isolate()

    def close(self) -> None:
        """Release DVC's caches and databases."""
        if self._repo is not None:
            self._repo.close()
            self._repo = None

    def add(self, folder: Path) -> None:
        """Add the present files of a folder to the cache and write its pointer; raises DatasetDamaged, OSError."""
        _require_room(self._data)
        try:
            if self._repo is None:
                self._repo = _repo_class()(str(self._data))
            self._repo.add([str(folder)])
        except OSError:
            raise
        except Exception as error:  # DVC's API has no common root of its exceptions
            self.close()
            raise DatasetDamaged(f"`dvc add` failed in {self._data}: {error}.") from error

    def pull(self, cache: Path) -> None:
        """Fetch the segments of the pointer from the `cache` of another repository, as from a remote.

        Raises DatasetDamaged, OSError.
        """
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
    """Raise OSError before DVC meets a full disk: its cache would then retry without a pause, forever."""
    room = os.statvfs(data)
    if room.f_bavail * room.f_frsize < LEAST_BYTES or (room.f_files and room.f_favail < LEAST_FILES):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(data))


def preload() -> None:
    """Import DVC, which takes seconds, before the first commit needs it."""
    _repo_class()


def _repo_class() -> Any:
    """DVC's Repo class; its import sets up handlers that print advice, which is useless in a daemon."""
    from dvc.repo import Repo

    for name in ("dvc", "dvc_objects", "dvc_data"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
    return Repo
