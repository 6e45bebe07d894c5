"""The findings of `retraind doctor`, which examines every part of a home and reports what can be repaired.

It works with and without a running daemon. The daemon's own checks are among the findings, so it never reports a home
as healthy that `retraind status` does not.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from retraind.daemon.artifacts import bundle
from retraind.daemon.cli.report import (
    answered_files,
    checks,
    figures_over_time,
    home_access,
    old_predictions,
)
from retraind.daemon.core import durable, home_integrity, settings, status
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.journal_rows import SegmentRow
from retraind.daemon.core.settings import candidate_packages
from retraind.daemon.dataset import git_history
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.objects.opening import require_botocore
from retraind.daemon.records import segments as recorded_segments
from retraind.daemon.records import versions
from retraind.daemon.records.drops import decided
from retraind.daemon.records.query import ask
from retraind.daemon.schema import schema, score_names
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage import artifact_paths

REPAIR = "Run `retraind doctor --repair`."


class Finding(TypedDict):
    """The finding on one part of a home; `detail` says what to do if it is not `ok`."""

    what: str
    ok: bool
    detail: str


class PartFailed(RetraindError):
    """Raised for a part that is damaged."""


def examine(home: Home) -> list[Finding]:
    """Examine every part of the home, and add the checks of a running daemon.

    A failed check of the daemon replaces a good finding of the same name.
    """
    findings = list(_examine(home))
    by_part = {one["what"]: one for one in findings}
    for said in _daemon_checks(home):
        if said["what"] not in by_part:
            findings.append(said)
        elif not said["ok"] and by_part[said["what"]]["ok"]:
            by_part[said["what"]].update(said)
    return findings


def _daemon_checks(home: Home) -> Iterator[Finding]:
    """The checks of a running daemon; a home without one is not unhealthy for that."""
    daemon = status.read(home.status)
    if daemon is not None and daemon.alive:
        for name, check in checks.examine(home, daemon, home_access.served(home)).checks.items():
            yield Finding(what=name, ok=check["ok"], detail=check["detail"])


def _examine(home: Home) -> Iterator[Finding]:
    yield _look("settings", lambda: f"{sum(1 for _ in settings.entries())} settings, {home.settings} is valid.")
    yield _look("candidates", lambda: _candidates(home))
    yield _look("schema", lambda: _describe(schema.load(home.schema)))
    yield _look("journal", lambda: _journal(home))
    yield _look("folders", lambda: _folders(home))
    yield _look("segments", lambda: _segments(home))
    yield _look("git", lambda: _git(home))
    yield _look("dvc", lambda: _dvc(home))
    yield _look("orphans", lambda: _orphans(home))
    yield _look("bundle", lambda: _bundle(home))
    yield _look("paths", lambda: _paths(home))
    yield _look("outbox", lambda: answered_files.describe(home))
    yield _look("trends", lambda: figures_over_time.describe(home))
    if old_predictions.exist(home):
        yield _look("archive", lambda: old_predictions.describe(home))
    if settings.load(home.settings).train.engine == "dask":
        yield _look("engine", lambda: _engine(home))
    if settings.load(home.settings).storage.url:
        yield _look("storage", lambda: _storage(home))
    if settings.load(home.settings).inbox.url:
        yield _look("bucket", lambda: _bucket(home))


def _look(part: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=part, ok=True, detail=look())
    except sqlite3.Error as error:
        return Finding(what=part, ok=False, detail=f"A database can't be read: {error}.")
    except (RetraindError, OSError) as error:
        return Finding(what=part, ok=False, detail=str(error))


def _count(home: Home) -> int:
    if not home_access.has_journal(home):
        return 0
    return versions.count(home.journal)


def _candidates(home: Home) -> str:
    names = settings.load(home.settings).train.candidates
    if absent := candidate_packages.objection(names):
        raise PartFailed(absent)
    return f"{len(names)} in the settings, all installed."


def _describe(home_schema: Schema | None) -> str:
    if home_schema is None:
        return "None yet: make one with `retraind init FILE --target COL`."
    return f"{len(home_schema.columns)} columns, target {home_schema.target!r} ({_task(home_schema)})."


def _task(home_schema: Schema) -> str:
    return f"{len(home_schema.classes)} classes" if home_schema.task == "classification" else home_schema.task


def _journal(home: Home) -> str:
    count = _count(home)
    if server := journal_server.beside(home.journal):
        return f"{count} versions; at {server.url}."
    if damage := [
        row["quick_check"] for row in ask(home.journal, "PRAGMA quick_check(3)") if row["quick_check"] != "ok"
    ]:
        raise RetraindError(f"{home.journal} is damaged: {damage[0]}.", hint="Restore the home from a backup.")
    return f"{count} versions; whole."


def _folders(home: Home) -> str:
    needed = (home.registry, home.requests, home.workers, home.artifacts, home.bundles, home.data, home.segments)
    folders = [folder for folder in (*needed, home.inbox, home.rejected, home.logs) if home.dataset_pointer.exists()]
    # In a new home the trainer makes it after the first rows arrive.
    database = mlflow_server.file_of(home)
    lost = folders and home.pointer.exists() and not database.exists()
    gone = [f"{database} is gone. {home_integrity.RESTORE}."] if lost else []
    wrong = [*gone, *filter(None, map(home_integrity.unwritable, folders))] or list(
        filter(None, [home_integrity.disk(home)])
    )
    if wrong:
        more = f" {len(wrong) - 1} more of its kind." if len(wrong) > 1 else ""
        raise RetraindError(f"{wrong[0]}{more}")
    return "In place, and writable."


def _segments(home: Home) -> str:
    recorded = _live(home)
    damaged = [name for name, one in recorded.items() if not durable.is_intact(home.segments / name, one["sha256"])]
    # A merge may have replaced it during the search.
    damaged = [name for name in damaged if name in _live(home)] if damaged else []
    if damaged:
        raise PartFailed(
            f"{home.segments / damaged[0]} is not what the journal recorded ({len(damaged)} in all).", hint=REPAIR
        )
    return f"{score_names.counted(len(recorded), 'segment')}, every sha256 as recorded."


def _live(home: Home) -> dict[str, SegmentRow]:
    return recorded_segments.current(home.journal)


def _git(home: Home) -> str:
    history = git_history.recorded(home.journal)
    if not history:
        return "No revision yet."
    # Twice, because a commit may happen at this moment.
    problem = _git_problem(home, history) and _git_problem(home, git_history.recorded(home.journal))
    if problem:
        raise PartFailed(problem, hint=REPAIR)
    aside = git_history.set_aside(home.data)
    kept = (
        f" {len(aside)} earlier damaged ones are in data/{git_history.TMP}; remove them when you like." if aside else ""
    )
    return f"{score_names.counted(len(history), 'revision')}, every object of the history can be read.{kept}"


def _git_problem(home: Home, history: Sequence[git_history.Recorded]) -> str | None:
    return git_history.damage(home.data, history[-1].name) or git_history.fsck(home.data)


def _dvc(home: Home) -> str:
    """Check DVC's objects: those of the present revision must be intact.

    Missing ones of older revisions are only reported.
    """
    cache, history = Cache(home.data), git_history.recorded(home.journal)
    committed = {row["md5"]: row for row in recorded_segments.committed(home.journal)}
    for md5, row in committed.items() if history else ():
        if row["died"] is None and not cache.has(md5) and row["name"] in _live(home):
            raise PartFailed(f"DVC's object {md5} of the present revision is gone or damaged.", hint=REPAIR)
    if history and not cache.has(history[-1].dvc_md5) and git_history.recorded(home.journal)[-1] == history[-1]:
        raise PartFailed(f"DVC's list of the present revision, {history[-1].dvc_md5}, is gone or damaged.", hint=REPAIR)
    gone = cache.missing(committed)
    lost = (
        f" {len(gone)} of older revisions are gone (`forget --purge`, `dvc gc`), so those can't be checked out."
        if gone
        else ""
    )
    return f"{score_names.counted(len(committed) - len(gone), 'object')} of segments.{lost}"


def _orphans(home: Home) -> str:
    """Report which files in `orphans/` may be removed: only those whose rows are accounted for in the journal."""
    live = {row["sha256"] for row in _live(home).values()}
    files = sorted(path for path in home.orphans.glob("*") if path.is_file() and not path.is_symlink())
    verdicts = {path.name: _verdict(home, path, live) for path in files}
    needed = [name for name, safe in verdicts.items() if not safe]
    if not files:
        return "None."
    if needed:
        keep = f"data/orphans/{needed[0]} ({len(needed)} in all) has rows that may be nowhere else: keep it"
        return f"{len(files)} files in data/orphans. {keep}. The others may be removed."
    return (
        f"{len(files)} files in data/orphans: all their rows are in the dataset or were forgotten; they may be removed."
    )


def _verdict(home: Home, path: Path, live: set[str]) -> bool:
    """Whether an orphan is safe to remove: it is not a segment of the dataset, and all its drops were accepted."""
    if durable.sha256_file(path) in live:
        return False
    from retraind.daemon.dataset import segments  # imported here, because it needs pyarrow and orphans are rare

    try:
        drops = segments.drops_of(path)
    except (RetraindError, OSError):
        return False
    return all(decided.was_taken(home.journal, drop) for drop in drops)


def _bundle(home: Home) -> str:
    pointer = bundle.read_pointer(home.pointer)
    if pointer is None:
        return "None is served yet."
    loaded = bundle.load(home.bundle(pointer.version), pointer.manifest)
    bundle.load_judged(home.bundle(pointer.version), pointer.manifest)
    return f"Version {pointer.version} ({loaded.manifest.candidate}, {loaded.manifest.backend}) loads and answers its probe."


def _paths(home: Home) -> str:
    """Check that MLflow's database can be read, and that no path in it leads out of the home."""
    strays = artifact_paths.foreign_paths(home)
    if strays:
        first = f"{strays[0].rows} paths in MLflow's database lead to {strays[0].place}, out of this home."
        raise PartFailed(first, hint="The next start puts them right, and so does `retraind doctor --repair`.")
    if server := mlflow_server.beside(home):
        kept = f"the files of its runs are at {server.artifacts}" if server.artifacts else "it names this home only"
        return f"MLflow's database is at {server.url}; {kept}."
    return "MLflow's database names this home only."


def _storage(home: Home) -> str:
    from retraind.daemon.cli.report import stored_objects  # imported here, because few homes have a store

    return stored_objects.describe(home)


def _engine(home: Home) -> str:
    from retraind.daemon.training.engines.dask import report  # imported here, because few homes have a scheduler

    return report.describe(home)


def _bucket(home: Home) -> str:
    require_botocore("inbox.url")
    from retraind.daemon.inbox.bucket import examination

    return examination.describe(home, settings.load(home.settings))


def as_text(findings: Sequence[Finding]) -> str:
    """`examine` for people."""
    return "\n".join(f"{'ok ' if one['ok'] else 'BAD'} {one['what']}: {one['detail']}" for one in findings)
