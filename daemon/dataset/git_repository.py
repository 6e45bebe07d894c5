"""`data/` as a git repository with DVC: it is created, repaired after kills and damage, and committed to.

All segments lie in one folder tracked by one `dataset.dvc`, because `dvc add` costs time for every .dvc file of a
repository.
"""

import configparser
import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import git_command, git_history
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.dataset.git_history import POINTER, TRACKED

log = logs.Logger()

AUTHOR = "-c", f"user.name={git_history.AUTHOR[0]}", "-c", f"user.email={git_history.AUTHOR[1]}"

CONFIG = ".dvc/config"
SCAFFOLD = {
    CONFIG: b"[core]\n    analytics = false\n    check_update = false\n[cache]\n    type = reflink,copy\n",
    ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n",
    ".dvcignore": b"# Patterns of files that DVC should leave alone.\n",
    ".gitignore": b"/dataset\n",
}
"""Files that make a folder a DVC repository that tracks the dataset."""


class Revision(NamedTuple):
    """The dataset at one moment: git commit and DVC's md5 of the folder."""

    commit: str
    dvc_md5: str


class Repository:
    """The repository of one home; used by one thread of one process that holds the home's lock."""

    def __init__(self, home: Home, cache: Cache, tell: Callable[[str], object]) -> None:
        self._home, self._data, self._cache, self._tell = home, home.data, cache, tell
        self.newest: Revision | None = None
        """The last revision in the journal; None before the first commit."""

    def repair(self) -> None:
        """Create it, or clean up after a killed git or DVC; we hold the home's lock, so no other program works here."""
        data = self._data
        leftovers = [*data.glob(".dvc/tmp/rwlock"), *data.glob(".dvc/tmp/lock")]
        # os.walk and names only, because 100,000 batches leave hundreds of thousands of files.
        leftovers += [
            Path(at, name) for at, _, names in os.walk(data / ".git") for name in names if name.endswith(".lock")
        ]
        for path in (*leftovers, *self._cache.implausible()):
            log.info("leftover_removed", path=str(path.relative_to(data)))
            path.unlink(missing_ok=True)
        pointer = data / POINTER
        if pointer.exists() and "md5:" not in pointer.read_text(errors="replace"):
            pointer.unlink()
        self._initialise()
        self.restore(POINTER)

    def _initialise(self) -> None:
        """Create the git and DVC repositories if they are missing, and replace a damaged git repository."""
        data, history = self._data, git_history.recorded(self._home.journal)
        self.scaffold()
        shutil.rmtree(data / git_history.TMP / git_history.FRESH, ignore_errors=True)
        self.newest = Revision(*history[-1].name) if history else None
        if history and (damage := git_history.damage(data, self.newest)):
            self._tell(git_history.in_words(damage, git_history.remake(data, history)))
        elif not history:
            if (data / ".git").exists() and not (data / ".git/HEAD").exists():
                shutil.rmtree(data / ".git")
            self._git("init", "-q", "-b", "main")

    def catch_up(self) -> None:
        """Append the revisions that another machine has made; what this can't do, `repair` does."""
        if (self._data / ".git/HEAD").exists():
            with contextlib.suppress(DatasetDamaged, OSError):
                if count := git_history.append(self._data, git_history.recorded(self._home.journal)):
                    log.info("revisions_appended", revisions=count)

    def scaffold(self) -> None:
        """Write DVC's settings and git's ignore files if they are gone; `dvc init --force` would remove the cache."""
        config = self._data / CONFIG
        if config.exists() and not _is_config(config):
            log.warning("settings_of_dvc_damaged", path=str(config))
            config.unlink()
        with contextlib.suppress(DatasetDamaged):  # git may be damaged as well, or not made yet
            self.restore(CONFIG)
        for name, content in SCAFFOLD.items():
            if not (self._data / name).exists():
                (self._data / name).parent.mkdir(exist_ok=True)
                durable.write(self._data / name, content)

    def restore(self, name: str) -> None:
        """Restore a missing file from git, if it has been committed."""
        if not (self._data / name).exists() and self._git("ls-files", name):
            log.warning("restored_from_git", path=name)
            self._git("checkout", "-q", "--", name)

    def damage(self) -> str | None:
        """Damage that would stop the next commit, found within a few milliseconds; None if there is none."""
        if not _is_config(self._data / CONFIG):
            return f"DVC's settings in {self._data / CONFIG} are gone or torn."
        return git_history.damage(self._data, self.newest)

    def repair_history(self) -> None:
        """Check every object of git's history, and rebuild the history from the journal if one is damaged."""
        if damage := git_history.fsck(self._data):
            history = git_history.recorded(self._home.journal)
            self._tell(git_history.in_words(damage, git_history.remake(self._data, history)))

    def require_newest(self) -> None:
        """Raise DatasetDamaged if the history lacks the newest revision."""
        if self.newest and not git_history.locate(self._data, *self.newest):
            raise DatasetDamaged(f"The history in {self._data} does not hold the last revision any more.")

    def commit(self, seq: int, dvc_md5: str, message: str) -> Revision:
        """Commit the pointer to DVC's folder `dvc_md5`; without a change, the present revision stays."""
        self._git("add", "--force", *TRACKED)  # whatever .git/info/exclude says
        if self._git("status", "--porcelain", "--untracked-files=no"):
            self._git(*AUTHOR, "commit", "-q", "-m", message + git_history.trailers(seq, dvc_md5))
        self.newest = Revision(self._git("rev-parse", "HEAD"), dvc_md5)
        return self.newest

    def head(self) -> Revision | None:
        """The newest revision, read from the files; None before the first commit."""
        if not (self._data / POINTER).exists():
            return None
        return Revision(self._git("rev-parse", "HEAD"), pointed(self._data))

    def _git(self, *arguments: str) -> str:
        return git_command.run(self._data, *arguments)


def pointed(data: Path) -> str:
    """DVC's md5 in the pointer of a `data/`; raises DatasetDamaged, OSError."""
    for line in (data / POINTER).read_text().splitlines():
        if "md5:" in line:
            return line.split("md5:")[1].strip()
    raise DatasetDamaged(f"{data / POINTER} names no md5.", hint="Restart: it is restored from git.")


def _is_config(path: Path) -> bool:
    """Whether a file has settings; a torn file is empty, lacks its end, or is full of zeros."""
    if not path.exists():
        return False
    text = path.read_text(errors="replace")
    try:
        configparser.ConfigParser(strict=False, interpolation=None).read_string(text)
    except configparser.Error:
        return False
    return bool(text.strip())
