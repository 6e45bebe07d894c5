"""The dataset: the segments of `daemon/segments.py`, and DVC and git as their projection.

Level 3, the only module that knows DVC. `data/` is a git and DVC repository of its own; all segments lie in one folder
tracked by one `dataset.dvc`, because `dvc add` costs time for every .dvc file of a repository. DVC never fsyncs and
trusts any cache object of mode 0444, so every new object is hashed and fsynced here before the journal says committed.
"""

import hashlib
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from daemon import durable
from daemon.errors import DatasetDamaged
from daemon.home import Home

log = structlog.get_logger()

POINTER = "dataset.dvc"
OBJECTS = ".dvc/cache/files/md5"
SECURED = ".dvc/tmp/secured"
"""One empty file for each object that was hashed and fsynced."""

AUTHOR = ("-c", "user.name=retraind", "-c", "user.email=retraind@localhost")
# git's own default fsyncs nothing of a commit but the pack files; signing and hooks of the user have no place here.
SAFE = ("-c", "core.fsync=all", "-c", "gc.auto=0", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null")

CONFIG = b"[core]\n    analytics = false\n    check_update = false\n[cache]\n    type = reflink,copy\n"


@dataclass(frozen=True)
class Revision:
    """The dataset at one moment: git commit and DVC's md5 of the folder."""

    commit: str
    dvc_md5: str


class Dataset:
    """Writes segments and commits them; used by one thread of one process that holds the home's lock."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._repo: Any = None

    def open(self, known: Mapping[str, str], replaced: Callable[[Iterable[str]], set[str]]) -> None:
        """Make or repair the repository; `known` maps the journal's segments to their md5.

        Of the other files in the dataset, those that a merge has replaced (`replaced` tells) are removed; the rest was
        never accepted and is set aside. A segment that is gone comes back from DVC.
        """
        _quiet_dvc(self._home)
        self._repair()
        self._home.segments.mkdir(exist_ok=True)
        found = {path.name for path in self._home.segments.iterdir()}
        gone = replaced(found - known.keys())
        self._remove(gone)
        self.set_aside(found - known.keys() - gone)
        for name in known.keys() - found:
            self._restore(name, known[name])
        self._initialise()

    def set_aside(self, names: set[str]) -> None:
        """Move files out of the dataset; they are kept, because a lost journal would make every segment one of them."""
        orphans = self._home.data / "orphans"
        for name in names:
            log.warning("orphan_segment_set_aside", segment=name)
            orphans.mkdir(exist_ok=True)
            (self._home.segments / name).replace(orphans / name)

    def _restore(self, name: str, md5: str) -> None:
        source = self._object(md5)
        if source.exists() and hashlib.md5(source.read_bytes(), usedforsecurity=False).hexdigest() == md5:
            log.warning("segment_restored", segment=name)
            durable.write(self._home.segments / name, source.read_bytes(), mode=0o444)

    def close(self) -> None:
        """Let go of DVC's caches and databases."""
        if self._repo is not None:
            self._repo.close()
            self._repo = None

    def commit(self, seq: int, segments: Mapping[str, str], message: str, gone: Iterable[str] = ()) -> Revision:
        """Make a revision of all `segments` (name: md5); doing it again after a crash gives the same revision.

        `gone` are segments of earlier revisions that are no part of this one; DVC's cache keeps them. Raises
        DatasetDamaged when DVC's objects are not the segments.
        """
        self._remove(gone)
        self._add()
        folder = self._pointer_md5()
        self._secure(folder, segments)
        self._git("add", POINTER, "schema.json", ".gitignore", ".dvc/config", ".dvcignore")
        if self._git("status", "--porcelain", "--untracked-files=no"):
            self._git(*AUTHOR, "commit", "-q", "-m", f"{message}\n\nBatch-Id: {seq}\nDvc-Md5: {folder}")
        return Revision(self._git("rev-parse", "HEAD"), folder)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self._home.segments / name).unlink(missing_ok=True)

    def _add(self) -> None:
        try:
            self._open_repo().add([str(self._home.segments)])
        except OSError:
            raise
        except Exception as error:  # DVC's exceptions have no common root that is part of its API
            self.close()
            raise DatasetDamaged(f"`dvc add` failed in {self._home.data}: {error}.") from error

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

    def _pointer_md5(self) -> str:
        for line in (self._home.data / POINTER).read_text().splitlines():
            if "md5:" in line:
                return line.split("md5:")[1].strip()
        raise DatasetDamaged(f"{self._home.data / POINTER} names no md5.", hint="Restart: it is restored from git.")

    def _object(self, md5: str) -> Path:
        return self._home.data / OBJECTS / md5[:2] / md5[2:]

    def _secure(self, folder: str, segments: Mapping[str, str]) -> None:
        """Check that the folder object lists exactly our segments, hash what is not yet durable, fsync it."""
        listed = {entry["relpath"]: entry["md5"] for entry in orjson.loads(self._object(folder).read_bytes())}
        if listed != dict(segments):
            raise DatasetDamaged("DVC's list of the dataset is not the journal's.", hint="Run `retraind doctor`.")
        for md5 in segments.values():
            self._secure_object(md5)
        self._secure_object(folder)
        for name in (POINTER, ".gitignore", "schema.json"):
            durable.fsync_file(self._home.data / name)
        durable.fsync_dir(self._home.data)

    def _secure_object(self, md5: str) -> None:
        path, stamp = self._object(md5), self._home.data / SECURED / md5
        if stamp.exists():
            return
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found != md5.removesuffix(".dir"):
                raise DatasetDamaged(
                    f"The DVC object {md5} is damaged.", hint="Restart: it is made anew from the segment."
                )
            os.fsync(file.fileno())
        durable.fsync_dir(path.parent)
        stamp.parent.mkdir(exist_ok=True)
        stamp.touch()

    def _initialise(self) -> None:
        data = self._home.data
        # The settings come last: until they are there a kill may have left either repository half made.
        config = data / ".dvc/config"
        begun = config.exists() and config.read_text().strip()
        if not begun or not (data / ".git").exists():
            self._git("init", "-q", "-b", "main")
        if not begun:
            _dvc().init(str(data), force=True).close()
            durable.write(config, CONFIG)

    def _open_repo(self) -> Any:
        if self._repo is None:
            self._repo = _dvc()(str(self._home.data))
        return self._repo

    def _repair(self) -> None:
        """Undo what a killed git or DVC leaves behind; we hold the home's lock, so nobody else is at work."""
        data = self._home.data
        leftovers = [*data.glob(".dvc/tmp/rwlock"), *data.glob(".dvc/tmp/lock")]
        # os.walk and names alone: after 100,000 batches there are hundreds of thousands of files to be passed by.
        leftovers += [
            Path(at, name) for at, _, names in os.walk(data / ".git") for name in names if name.endswith(".lock")
        ]
        for path in (*leftovers, *self._implausible()):
            log.info("leftover_removed", path=str(path.relative_to(data)))
            path.unlink(missing_ok=True)
        if (data / ".git").exists() and not (data / ".git/HEAD").exists():
            shutil.rmtree(data / ".git")
        pointer = data / POINTER
        if pointer.exists() and "md5:" not in pointer.read_text(errors="replace"):
            log.warning("pointer_restored", path=POINTER)
            pointer.unlink()
            if self._git("ls-files", POINTER):
                self._git("checkout", "-q", "--", POINTER)

    def _implausible(self) -> Iterator[Path]:
        """Cache objects, not yet known to be durable, that have not the bytes their names promise."""
        stamps = self._home.data / SECURED
        secured = {entry.name for entry in os.scandir(stamps)} if stamps.exists() else set()
        for at, _, names in os.walk(self._home.data / OBJECTS):
            prefix = Path(at).name
            for name in names:
                path, md5 = Path(at, name), prefix + name
                if md5 in secured:
                    continue
                found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
                if found != md5.removesuffix(".dir"):
                    yield path

    def _git(self, *arguments: str) -> str:
        data = self._home.data
        # Explicit folders: without them a damaged data/.git would let git walk up into the project's repository.
        command = ["git", f"--git-dir={data / '.git'}", f"--work-tree={data}", *SAFE, *arguments]
        try:
            done = self._run_git(command)
        except subprocess.TimeoutExpired:
            raise DatasetDamaged(f"git {arguments[0]} did not end within two minutes in {data}.") from None
        if done.returncode:
            raise DatasetDamaged(
                f"git {arguments[0]} failed in {data}: {done.stderr.strip()}", hint="Run `retraind doctor`."
            )
        return done.stdout.strip()

    def _run_git(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        environment = _git_environment()
        return subprocess.run(
            command, cwd=self._home.data, capture_output=True, text=True, env=environment, timeout=120, check=False
        )


def _git_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _dvc() -> Any:
    """DVC's Repo class; the import sets up handlers that print advice, which nobody asked a daemon for."""
    from dvc.repo import Repo

    for name in ("dvc", "dvc_objects", "dvc_data"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
    return Repo


def _quiet_dvc(home: Home) -> None:
    # The site cache holds pickles; its default is a folder that every user of the machine can write to.
    private = home.registry / "dvc-site"
    private.mkdir(mode=0o700, exist_ok=True)
    os.environ.update(DVC_NO_ANALYTICS="1", DVC_SITE_CACHE_DIR=str(private), DVC_GLOBAL_CONFIG_DIR=str(private))
