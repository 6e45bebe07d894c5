"""The dataset: the segments of `daemon/dataset/segments.py`, and DVC and git as their projection.

The only module that knows DVC. `data/` is a git and DVC repository of its own; all segments lie in one folder
tracked by one `dataset.dvc`, because `dvc add` costs time for every .dvc file of a repository. DVC never fsyncs and
trusts any cache object of mode 0444, so every new object is hashed and fsynced here before the journal says committed.
"""

import configparser
import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from daemon.core import durable
from daemon.core.errors import DatasetDamaged, NotFound, Unavailable
from daemon.core.home import Home
from daemon.dataset import git, git_history
from daemon.dataset.dvc_cache import Cache, md5_of
from daemon.dataset.git_history import POINTER, TRACKED
from daemon.dataset.segment_folder import SegmentFolder
from daemon.dataset.segment_writer import name_of
from daemon.records import segments as recorded_segments

log = structlog.get_logger()

LEAST_BYTES, LEAST_FILES = 8 * 1024 * 1024, 64
"""Room on the disk without which no commit is begun."""

AUTHOR = "-c", f"user.name={git_history.AUTHOR[0]}", "-c", f"user.email={git_history.AUTHOR[1]}"

CONFIG = ".dvc/config"
SCAFFOLD = {
    CONFIG: b"[core]\n    analytics = false\n    check_update = false\n[cache]\n    type = reflink,copy\n",
    ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n",
    ".dvcignore": b"# Patterns of files that DVC should leave alone.\n",
    ".gitignore": b"/dataset\n",
}
"""What makes a folder a repository of DVC that tracks the dataset."""


class Revision(NamedTuple):
    """The dataset at one moment: git commit and DVC's md5 of the folder."""

    commit: str
    dvc_md5: str


class Dataset:
    """Writes segments and commits them; used by one thread of one process that holds the home's lock."""

    def __init__(self, home: Home, tell: Callable[[str], object] | None = None) -> None:
        self._home, self._cache, self.folder = home, Cache(home.data), SegmentFolder(home)
        self._tell = tell or (lambda sentence: log.warning("repaired", detail=sentence))
        self._repo: Any = None
        self._newest: Revision | None = None

    def open(self, recorded: Mapping[str, str], replaced: Callable[[Iterable[str]], set[str]]) -> None:
        """Make or repair the repository; `recorded` maps the journal's segments to their md5.

        Of the other files in the dataset, those that a merge has replaced (`replaced` tells) are removed; the rest was
        never accepted and is set aside. A segment that is gone comes back from the orphans or from DVC.
        """
        _quiet_dvc(self._home)
        self._home.segments.mkdir(exist_ok=True)
        self._cache.adopt_stamps()
        self._repair()
        names = self.folder.names()
        gone = replaced(names - recorded.keys())
        self.folder.remove(gone)
        self.folder.set_aside(names - recorded.keys() - gone)
        self._restore(recorded)

    def _restore(self, recorded: Mapping[str, str]) -> None:
        """Bring segments (name: md5) that are gone back, from among the orphans or from DVC's cache, as far as these have them."""
        gone = recorded.keys() - _names(self._home.segments)
        orphans = {name_of(durable.sha256_file(path)): path for path in self._orphans()} if gone else {}
        for name in gone:
            source = self._cache.path(recorded[name])
            if name in orphans and md5_of(orphans[name]) == recorded[name]:
                log.warning("segment_restored", segment=name, source="data/orphans")
                orphans[name].replace(self._home.segments / name)
                durable.fsync_dir(self._home.segments)
            elif self._cache.has(recorded[name]):
                log.warning("segment_restored", segment=name, source="DVC's cache")
                durable.write(self._home.segments / name, source.read_bytes(), mode=0o444)

    def _orphans(self) -> list[Path]:
        """Files that were set aside, whatever their names are by now."""
        return [path for path in self._home.orphans.glob("*") if path.is_file() and not path.is_symlink()]

    def close(self) -> None:
        """Let go of DVC's caches and databases."""
        if self._repo is not None:
            self._repo.close()
            self._repo = None

    def commit(self, seq: int, segments: Mapping[str, str], message: str, gone: Iterable[str] = ()) -> Revision:
        """Make a revision of all `segments` (name: md5); doing it again after a crash gives the same revision.

        `gone` are segments of earlier revisions that are no part of this one; DVC's cache keeps them. What stands in the
        way and a restart would mend is mended, once. Raises DatasetDamaged when DVC's objects are not the segments.
        """
        self.folder.remove(gone)
        try:
            self._newest = self._commit(seq, segments, message)
            return self._newest
        except (DatasetDamaged, OSError) as error:
            log.warning("commit_failed", batch=seq, reason=str(error), hint="It is repaired and tried again.")
        self.repair(segments)
        self._newest = self._commit(seq, segments, message)
        return self._newest

    def repair(self, segments: Mapping[str, str]) -> None:
        """Make good what killed programs, people and disks have done to `data/`, as far as something has the bytes."""
        self.close()
        shutil.rmtree(_private(self._home), ignore_errors=True)
        _quiet_dvc(self._home)
        self._repair()
        self._restore(segments)
        gone = self._cache.missing(segments.values())
        for name, md5 in segments.items():
            if md5 in gone and (self._home.segments / name).exists():
                log.warning("object_restored", segment=name)
                self._cache.supply(md5, self._home.segments / name)
        self._restore_tracked(self._home.schema.name)

    def ailment(self, segments: Mapping[str, str]) -> str | None:
        """What the next commit would stumble over, as far as a few milliseconds tell; None if nothing."""
        if missing := segments.keys() - _names(self._home.segments):
            return f"{len(missing)} segments are gone from {self._home.segments}, first {min(missing)}."
        if not _is_config(self._home.data / CONFIG):
            return f"DVC's settings in {self._home.data / CONFIG} are gone or torn."
        return git_history.damage(self._home.data, self._newest)

    def mend(self, segments: Mapping[str, tuple[str, str]]) -> Iterator[None]:
        """Look at every byte of `segments` (name: sha256 and md5), DVC's objects and git, and make good what can be; in pieces.

        Raises DatasetDamaged when there are rows that nothing has any more.
        """
        for name, (sha256, _) in segments.items():
            if (self._home.segments / name).exists() and not self._intact(name, sha256):
                self._tell(
                    f"The segment {name} was damaged; it is kept in data/orphans, and made good if DVC has its bytes."
                )
                self._home.orphans.mkdir(exist_ok=True)
                (self._home.segments / name).replace(self._home.orphans / f"{name}.damaged")
            yield
        live = {name: md5 for name, (_, md5) in segments.items()}
        self.repair(live)
        yield
        for name, md5 in live.items():
            if (self._home.segments / name).exists() and self._cache.supply(md5, self._home.segments / name):
                self._tell(f"DVC's object of the segment {name} was gone or damaged and has been made anew.")
            yield
        if self._newest and self._cache.compose(self._newest.dvc_md5, live):
            self._tell("DVC's list of the present revision was gone or damaged and has been made anew.")
        if damage := git_history.fsck(self._home.data):
            history = git_history.recorded(self._home.journal)
            self._tell(git_history.account(damage, git_history.remake(self._home.data, history)))
        if gone := self.verify({name: sha256 for name, (sha256, _) in segments.items()}):
            hint = "Put them back from a backup."
            raise DatasetDamaged(f"{len(gone)} segments are gone for good, first {gone[0]}.", hint=hint)

    def _commit(self, seq: int, segments: Mapping[str, str], message: str) -> Revision:
        self._scaffold()
        if self._newest and not git_history.locate(self._home.data, *self._newest):
            raise DatasetDamaged(f"The history in {self._home.data} does not hold the last revision any more.")
        self._add()
        folder = self._pointer_md5()
        self._secure(folder, segments)
        self._git("add", "--force", *TRACKED)  # whatever .git/info/exclude says
        if self._git("status", "--porcelain", "--untracked-files=no"):
            self._git(*AUTHOR, "commit", "-q", "-m", message + git_history.trailers(seq, folder))
        return Revision(self._git("rev-parse", "HEAD"), folder)

    def _add(self) -> None:
        self._demand_room()
        try:
            self._open_repo().add([str(self._home.segments)])
        except OSError:
            raise
        except Exception as error:  # DVC's exceptions have no common root that is part of its API
            self.close()
            raise DatasetDamaged(f"`dvc add` failed in {self._home.data}: {error}.") from error

    def _demand_room(self) -> None:
        """Fail before DVC does: while the disk is full its cache tries again without a pause, and never comes back."""
        room = os.statvfs(self._home.data)
        if room.f_bavail * room.f_frsize < LEAST_BYTES or (room.f_files and room.f_favail < LEAST_FILES):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._home.data))

    def revision(self) -> Revision | None:
        """The newest revision; None before the first commit."""
        if not (self._home.data / POINTER).exists():
            return None
        return Revision(self._git("rev-parse", "HEAD"), self._pointer_md5())

    def verify(self, segments: Mapping[str, str]) -> list[str]:
        """Names of segments whose bytes are not those of the given sha256."""
        return [name for name, sha256 in segments.items() if not self._intact(name, sha256)]

    def _intact(self, name: str, sha256: str) -> bool:
        path = self._home.segments / name
        return path.exists() and durable.sha256_file(path) == sha256

    def check_out(self, source: Home, revision: Revision) -> list[str]:
        """Bring a revision of `source` into this, an empty home, beside whoever works there; the names of its segments.

        DVC fetches them from the cache of `source` as from any remote. Raises NotFound when they are gone from it,
        Unavailable when there is no room for them, DatasetDamaged when they are not what the revision names.
        """
        _quiet_dvc(self._home)
        git.clone(source.data, self._home.data)
        commit = git_history.locate(self._home.data, *revision)
        if commit is None:
            raise NotFound(f"git has no revision {revision.commit[:10]}, nor one that was made anew for it.")
        self._git("checkout", "--quiet", "--detach", commit)
        if (pointed := self._pointer_md5()) != revision.dvc_md5:
            raise DatasetDamaged(f"Revision {revision.commit[:10]} names DVC's {pointed}, not {revision.dvc_md5}.")
        self._bring_list(source, revision)
        self._demand_room_for(Dataset(source), revision)
        self._pull(source.data / ".dvc/cache", revision)
        listed = self._cache.listed(revision.dvc_md5)
        for name, md5 in listed.items():
            if md5_of(self._home.segments / name) != md5:
                raise DatasetDamaged(f"DVC gave other bytes than {md5} for {name}.", hint="Run `retraind doctor`.")
        return list(listed)

    def _bring_list(self, source: Home, revision: Revision) -> None:
        """Put DVC's list of a revision's segments into the cache here: composed from the journal, or as `source` has it."""
        there, here = Cache(source.data).path(revision.dvc_md5), self._cache.path(revision.dvc_md5)
        if self._cache.compose(revision.dvc_md5, recorded_segments.listed(source.journal, revision.dvc_md5)):
            return
        if not there.exists():
            raise NotFound(f"DVC's list of revision {revision.commit[:10]} is gone.", hint="A backup of data/ has it.")
        here.parent.mkdir(parents=True, exist_ok=True)
        durable.write(here, there.read_bytes(), mode=0o444)

    def _demand_room_for(self, source: "Dataset", revision: Revision) -> None:
        objects = [source._cache.path(md5) for md5 in self._cache.listed(revision.dvc_md5).values()]
        if gone := sum(not path.exists() for path in objects):
            hint = "They may have been purged (`retraind forget --purge`); a backup of data/ has them."
            raise NotFound(f"{gone} segments of revision {revision.commit[:10]} are gone from DVC's cache.", hint=hint)
        needed = 2 * sum(path.stat().st_size for path in objects)  # in the cache here, and checked out
        free = shutil.disk_usage(self._home.data).free
        if needed + LEAST_BYTES > free:
            hint = "Set TMPDIR to a folder with more room."
            raise Unavailable(f"{needed} bytes have to be fetched into {self._home.data}; {free} are free.", hint=hint)

    def _pull(self, cache: Path, revision: Revision) -> None:
        remote = {"remote": {"home": {"url": str(cache)}}, "core": {"remote": "home"}}
        repo = _dvc()(str(self._home.data), config=remote)
        try:
            repo.pull()
        except OSError:
            raise
        except Exception as error:  # as in `_add`
            raise DatasetDamaged(f"Revision {revision.commit[:10]} can't be fetched by DVC: {error}.") from error
        finally:
            repo.close()

    def purge(self, md5s: Iterable[str]) -> int:
        """Remove objects of earlier revisions from DVC's cache, for good; returns how many there were.

        The revisions that need them can't be checked out any more.
        """
        return self._cache.purge(md5s)

    def _pointer_md5(self) -> str:
        for line in (self._home.data / POINTER).read_text().splitlines():
            if "md5:" in line:
                return line.split("md5:")[1].strip()
        raise DatasetDamaged(f"{self._home.data / POINTER} names no md5.", hint="Restart: it is restored from git.")

    def _secure(self, folder: str, segments: Mapping[str, str]) -> None:
        """Check that the folder object lists exactly our segments, hash what is not yet durable, fsync it."""
        if self._cache.listed(folder) != dict(segments):
            raise DatasetDamaged("DVC's list of the dataset is not the journal's.", hint="Run `retraind doctor`.")
        for md5 in (*segments.values(), folder):
            self._cache.secure(md5)
        for name in (POINTER, ".gitignore", "schema.json"):
            durable.fsync_file(self._home.data / name)
        durable.fsync_dir(self._home.data)

    def _initialise(self) -> None:
        """Make what is no repository of git and DVC one, and replace one of git that is damaged."""
        data, history = self._home.data, git_history.recorded(self._home.journal)
        self._scaffold()
        shutil.rmtree(data / git_history.TMP / git_history.FRESH, ignore_errors=True)
        self._newest = Revision(*history[-1].name) if history else None
        if history and (damage := git_history.damage(data, self._newest)):
            self._tell(git_history.account(damage, git_history.remake(data, history)))
        elif not history:
            if (data / ".git").exists() and not (data / ".git/HEAD").exists():
                shutil.rmtree(data / ".git")
            self._git("init", "-q", "-b", "main")

    def _scaffold(self) -> None:
        """Write DVC's settings and what git ignores where they are gone; `dvc init --force` would take the cache with them."""
        config = self._home.data / CONFIG
        if config.exists() and not _is_config(config):
            log.warning("settings_of_dvc_damaged", path=str(config))
            config.unlink()
        with contextlib.suppress(DatasetDamaged):  # git may be damaged as well, or not made yet
            self._restore_tracked(CONFIG)
        for name, content in SCAFFOLD.items():
            if not (self._home.data / name).exists():
                (self._home.data / name).parent.mkdir(exist_ok=True)
                durable.write(self._home.data / name, content)

    def _open_repo(self) -> Any:
        if self._repo is None:
            self._repo = _dvc()(str(self._home.data))
        return self._repo

    def _repair(self) -> None:
        """Undo what a killed git or DVC leaves behind; we hold the home's lock, so nobody else is at work."""
        data = self._home.data
        self._home.segments.mkdir(exist_ok=True)
        leftovers = [*data.glob(".dvc/tmp/rwlock"), *data.glob(".dvc/tmp/lock")]
        # os.walk and names alone: after 100,000 batches there are hundreds of thousands of files to be passed by.
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
        self._restore_tracked(POINTER)

    def _restore_tracked(self, name: str) -> None:
        """Bring a file that is gone back from git, if it has been committed."""
        if not (self._home.data / name).exists() and self._git("ls-files", name):
            log.warning("restored_from_git", path=name)
            self._git("checkout", "-q", "--", name)

    def _git(self, *arguments: str) -> str:
        return git.run(self._home.data, *arguments)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _is_config(path: Path) -> bool:
    """Whether a file has settings; a torn one is empty, or its end is missing, or it is full of zeros."""
    if not path.exists():
        return False
    text = path.read_text(errors="replace")
    try:
        configparser.ConfigParser(strict=False, interpolation=None).read_string(text)
    except configparser.Error:
        return False
    return bool(text.strip())


def _dvc() -> Any:
    """DVC's Repo class; the import sets up handlers that print advice, which nobody asked a daemon for."""
    from dvc.repo import Repo

    for name in ("dvc", "dvc_objects", "dvc_data"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
    return Repo


def _private(home: Home) -> Path:
    """DVC's site cache holds pickles; its default is a folder that every user of the machine can write to."""
    return home.registry / "dvc-site"


def _quiet_dvc(home: Home) -> None:
    git.isolate()
    for name in [name for name in os.environ if name.startswith("DVC_")]:
        del os.environ[name]
    private = _private(home)
    private.mkdir(mode=0o700, exist_ok=True)
    # DVC asks dulwich what git ignores, which looks into XDG_CONFIG_HOME whatever git's settings are.
    folders = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "XDG_CONFIG_HOME")
    os.environ.update(dict.fromkeys(folders, str(private)), DVC_NO_ANALYTICS="1")
