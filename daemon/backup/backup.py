"""Backup: a consistent copy of a home in one file, even while its daemon runs.

The order makes it consistent: first waiting drops and requests, then the journal, then the files that the journal
names. Segments and models never change; they are only removed, and a segment removed by a merge is still in DVC's
cache. So the copy has a drop as a file, as rows, or as both, which counts once. Only a purge of rows meanwhile breaks
this; then the copy starts over.
"""

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from retraind.daemon.artifacts.manifest import MANIFEST, Pointer
from retraind.daemon.backup import database_copies, prediction_copies
from retraind.daemon.backup.archive import Moved, Packer
from retraind.daemon.core import durable, logs
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.durable import fsync_dir
from retraind.daemon.core.errors import BadSettings, DatasetDamaged, NotFound, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored
from retraind.daemon.core.journal import journal_server
from retraind.daemon.dataset import git_command
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.records import batches, requests, segments, versions
from retraind.daemon.schema.score_names import counted

log = logs.Logger()

TRIES = 5
"""Attempts at a copy: it starts over if something was purged, or a log file ended, meanwhile."""

BUNDLE = "git.bundle"
"""The history of `data/` in the archive."""

SETTLED_SECONDS = 2.0
"""A file that changed within this time may still be being written."""

SCAFFOLD = ("schema.json", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore")

LEFT_OUT = frozenset({"status.json", "daemon.lock", "home.json", journal_server.NAME, mlflow_server.NAME})
"""Files of `registry/` about a running process, about this home alone, or about databases on servers: the copy has them as files."""


def backup(home: Home, file: Path) -> dict[str, int]:
    """Write a backup of a home to `file`, which must not exist; returns its counts: files, bytes, rows, versions, drops left out.

    Raises NotFound when there is no home, BadSettings when the file exists, OSError when it can't be written, DatasetDamaged when
    a segment is gone, Unavailable when rows were purged again and again meanwhile.
    """
    if not journal_server.exists(home):
        raise NotFound(f"{home.root} is not a home with data yet.", hint="Is --home right?")
    if file.exists():
        raise BadSettings(f"{file} exists.", hint="Name a file that is not there yet.")
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(6)}.tmp")
    try:
        for _ in range(TRIES):
            with (
                contextlib.suppress(Moved),
                tempfile.TemporaryDirectory(dir=file.parent, prefix=".retraind-") as scratch,
            ):
                facts = _write(home, temporary, Path(scratch))
                os.link(temporary, file)
                fsync_dir(file.parent)
                return facts
        raise Unavailable("Files were removed again and again while they were copied.", hint="Try again later.")
    except FileExistsError:
        raise BadSettings(f"{file} exists.", hint="Name a file that is not there yet.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _write(home: Home, temporary: Path, scratch: Path) -> dict[str, int]:
    with Packer(temporary) as packer:
        left_out = _pack_waiting(home, packer)
        prediction_copies.pack_finished(home, packer)
        # Before the journal and its models, so that the copy has the model that was served until then.
        pointer = _pack_pointer(home, packer, scratch / "champion.json")
        journal = database_copies.journal(home, scratch / "journal.db")
        packer.add("registry/journal.db", journal)
        _pack_rows(home, packer, journal)
        if mlflow := database_copies.mlflow(
            home, scratch / "mlflow.db"
        ):  # later, so it knows every version in the journal
            packer.add("registry/mlflow.db", mlflow)
        prediction_copies.pack(home, packer, scratch, journal)
        _pack_git(home, packer, scratch)
        _pack_models(home, packer)
        _require_served(home, packer, pointer)
        _require_unpurged(home, journal)
        rows, trained = batches.total_rows(journal), versions.count(journal)
        facts = {"rows": rows, "versions": trained, "left_out": left_out}
        return facts | packer.finish(facts)


def _pack_waiting(home: Home, packer: Packer) -> int:
    """Pack drops, files to predict, requests, rejected files and settings; returns the number of files still being written."""
    left_out = 0
    for folder in (home.inbox, home.predict):
        for path in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []:
            if path.is_file() and not path.is_symlink() and not ignored(path.name):
                left_out += not _pack_settled(home, path, packer)
    for folder in (home.rejected, home.requests):
        _pack_folder(home, folder, packer)
    if home.settings.exists():
        packer.add("retraind.toml", home.settings)
    return left_out


def _pack_settled(home: Home, path: Path, packer: Packer) -> bool:
    """Pack a drop unless a program writes to it. If it is ingested or answered meanwhile, the copy has its rows or answers."""
    with contextlib.suppress(FileNotFoundError):
        # By the change time (ctime), which a copying program can't set.
        if 0 <= time.time() - path.stat().st_ctime < SETTLED_SECONDS:
            return False
        try:
            packer.add(str(path.relative_to(home.root)), path)
        except BlockingIOError:  # its owner holds a lease to write it
            return False
    return True


def _unfinished(name: str) -> bool:
    return name.startswith(durable.MARK) and name.endswith(durable.TMP)


def _pack_folder(home: Home, folder: Path, packer: Packer) -> None:
    """Pack every file below a folder; a file that is removed meanwhile was no longer needed."""
    for at, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(at, name)
            # An unfinished file gets its final name soon, or is useless.
            if path.is_symlink() or not path.is_file() or _unfinished(name):
                continue
            with contextlib.suppress(FileNotFoundError):
                packer.add(str(path.relative_to(home.root)), path)


def _pack_rows(home: Home, packer: Packer, journal: Path) -> None:
    """Pack each segment in the journal's copy, from DVC's cache or the dataset, and the remains of older revisions."""
    cache = Cache(home.data)
    recorded = segments.ever(journal)
    live = {row["md5"]: row for row in recorded if row["died"] is None}
    for md5 in sorted(batches.lists(journal) | {row["md5"] for row in recorded}):
        path = cache.path(md5)
        name = str(path.relative_to(home.root))
        with contextlib.suppress(FileNotFoundError):
            packer.add(name, path)
        # Not committed yet, or damaged in the cache.
        if md5 in live and (name not in packer or packer.sha256(name) != live[md5]["sha256"]):
            _pack_segment(home, packer, live[md5]["name"], md5)
    _pack_folder(home, home.orphans, packer)
    for name in SCAFFOLD:
        with contextlib.suppress(FileNotFoundError):
            packer.add(f"data/{name}", home.data / name)


def _pack_segment(home: Home, packer: Packer, name: str, md5: str) -> None:
    try:
        packer.add(f"data/dataset/{name}", home.segments / name)
    except FileNotFoundError:
        if segments.replaced(home.journal, name) or Cache(home.data).path(md5).exists():
            raise Moved from None
        hint = "Run `retraind doctor --repair`."
        raise DatasetDamaged(f"The segment {name} is gone, so the backup would lack rows.", hint=hint) from None


def _pack_pointer(home: Home, packer: Packer, copy: Path) -> Pointer | None:
    """Pack the pointer to the served version; None: no version is served."""
    with contextlib.suppress(FileNotFoundError):
        copy.write_bytes(home.pointer.read_bytes())
        packer.add(str(home.pointer.relative_to(home.root)), copy)
        return _pointer(copy)
    return None


def _pointer(path: Path) -> Pointer | None:
    """The content of a pointer; None if it is gone or damaged, since the next start writes a new one."""
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _require_served(home: Home, packer: Packer, pointer: Pointer | None) -> None:
    """Check that the copy has the model that its pointer names, or that the home lacks it as well.

    Retention may have removed it meanwhile.
    """
    if pointer is None:
        return
    manifest = home.bundle(pointer.version) / MANIFEST
    if (
        str(manifest.relative_to(home.root)) not in packer
        and not manifest.exists()
        and _pointer(home.pointer) != pointer
    ):
        log.info("started_again", reason="The served version was removed while it was copied.")
        raise Moved


def _require_unpurged(home: Home, journal: Path) -> None:
    """Check that the copy has no rows that were purged while it was made."""
    if requests.last_purge(home.journal) != requests.last_purge(journal):
        log.info("started_again", reason="Rows were purged while they were copied.")
        raise Moved


def _pack_git(home: Home, packer: Packer, scratch: Path) -> None:
    """Pack the git history of `data/`; if it is damaged, the restore rebuilds it from the journal."""
    try:
        git_command.run(home.data, "bundle", "create", "--quiet", str(scratch / BUNDLE), "HEAD", "--all")
    except DatasetDamaged as error:
        log.warning("history_left_out", reason=str(error), hint="A restore rebuilds it from the journal.")
        return
    packer.add(BUNDLE, scratch / BUNDLE)


def _pack_models(home: Home, packer: Packer) -> None:
    """Pack bundles, MLflow's files, tokens, the pointer and the small files of `registry/`, but no sign-ins."""
    for folder in (home.bundles, home.artifacts, home.tokens):
        _pack_folder(home, folder, packer)
    for path in sorted(home.registry.iterdir()):
        # A hidden file is being written at this moment.
        if not path.is_file() or path.is_symlink() or path.name.startswith((".", "journal.db", "mlflow.db")):
            continue
        if path.name not in LEFT_OUT and f"registry/{path.name}" not in packer:
            with contextlib.suppress(FileNotFoundError):
                packer.add(f"registry/{path.name}", path)


def counts(facts: Mapping[str, int]) -> str:
    """The content of a backup, for people."""
    return f"{counted(facts['rows'], 'row')}, {counted(facts['versions'], 'version')}"


def sentence(file: Path, facts: Mapping[str, int]) -> str:
    """The result of a backup, for people."""
    left_out = facts["left_out"]
    more = (
        f" Left out: {counted(left_out, 'file')} in the inbox, written to in the last two seconds or leased."
        if left_out
        else ""
    )
    size = f"{counted(facts['files'], 'file')}, {facts['bytes']} bytes"
    return f"{file}: {counts(facts)}; {size}. Keep it as secret as the home: it has the tokens and all rows.{more}"
