"""Restore: makes a home from a backup, and verifies it before it gets its final name.

Everything is unpacked next to the new home's path and compared with the manifest. The paths in MLflow's database are
changed to the new path, git's history is made to match the journal, and the segments come from DVC's objects as at any
start.
"""

import contextlib
import secrets
import shutil
from pathlib import Path

from retraind.daemon.backup import archive
from retraind.daemon.backup.backup import BUNDLE
from retraind.daemon.core import logs, requests
from retraind.daemon.core.durable import fsync_dir
from retraind.daemon.core.errors import BadSettings, DatasetDamaged, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import git_command, git_history
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.records.requests import answered
from retraind.daemon.storage import artifact_paths
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

PARTS = ("inbox", "outbox", "data", "registry", "logs", "retraind.toml", BUNDLE)
"""Names that may be in a backup."""


def restore(file: Path, home: Home) -> archive.Manifest:
    """Make `home`, which must not exist, from a backup; returns its manifest.

    Raises NotFound when there is no such file, BadSettings when the home exists, BackupDamaged when the backup is
    incomplete, DatasetDamaged when it lacks rows that its journal names, OSError when there is no room. In all these
    cases no home is made.
    """
    if not file.is_file():
        raise NotFound(f"There is no file {file}.")
    if home.root.exists():
        raise BadSettings(
            f"{home.root} exists: a backup is restored into a new folder only.", hint="Name another --home."
        )
    home.root.parent.mkdir(parents=True, exist_ok=True)
    begun = Home(home.root.with_name(f".{home.root.name}.{secrets.token_hex(6)}.tmp"))
    begun.root.mkdir(mode=0o700)
    try:
        manifest = archive.unpack(file, begun.root, PARTS)
        _complete(begun, home.root)
        archive.sync(begun.root)
        begun.root.rename(home.root)
    except BaseException:
        shutil.rmtree(begun.root, ignore_errors=True)
        raise
    fsync_dir(home.root.parent)
    return manifest


def _complete(home: Home, root: Path) -> None:
    """Turn the unpacked files into a home that will be moved to `root`."""
    home.make()
    artifact_paths.relocate(home, root)
    _leave_answered(home)
    history = git_history.recorded(home.journal)
    bundle = home.root / BUNDLE
    if bundle.exists() and history:  # else every commit is newer than the journal's copy
        with contextlib.suppress(DatasetDamaged):  # then it is rebuilt from the journal
            _take_history(home, bundle, history[-1])
    bundle.unlink(missing_ok=True)
    dataset = Dataset(home)
    with Journal.reading(home.journal) as journal:
        segments = journal.segments.current()
        dataset.open({one["name"]: one["md5"] for one in segments}, journal.segments.replaced)
    dataset.close()
    if gone := dataset.folder.verify({one["name"]: one["sha256"] for one in segments}):
        raise DatasetDamaged(
            f"{len(gone)} segments are missing or damaged, first {gone[0]}.", hint="Use another backup."
        )
    shutil.rmtree(home.dvc_site, ignore_errors=True)


def _leave_answered(home: Home) -> None:
    """Remove requests that were answered after they were copied and before the journal was."""
    for request in requests.pending(home):
        if answered(home.journal, request.id):
            requests.consume(home, request)


def _take_history(home: Home, bundle: Path, newest: git_history.Recorded) -> None:
    """Take git's history up to the newest revision in the journal, because the two were copied at different moments."""
    git_command.run(home.data, "init", "-q", "-b", "main")
    git_command.run(home.data, "fetch", "-q", "--update-head-ok", str(bundle), "+refs/*:refs/*")
    if commit := git_history.locate(home.data, *newest.name):
        git_command.run(home.data, "update-ref", "refs/heads/main", commit)
    git_command.run(home.data, "read-tree", "HEAD")
