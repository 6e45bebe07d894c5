"""What `retraind doctor` says about the files of old predictions."""

import sqlite3
from collections.abc import Sequence

from retraind.daemon.core import durable, settings
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import FOLDER, HistoryFile
from retraind.daemon.objects.opening import open_store
from retraind.daemon.records.search import history_files
from retraind.daemon.schema.score_names import counted


def exist(home: Home) -> bool:
    """Whether there are such files."""
    try:
        return history_files.last_seq(home.journal) > 0
    except sqlite3.Error:  # which other findings report
        return False


def describe(home: Home) -> str:
    """A sentence on all files of the index; raises DatasetDamaged if one is gone or damaged, StoreUnavailable, OSError."""
    files = history_files.all_files(home.journal)
    wrong = _wrong(home, files)
    # It may have been erased or written again meanwhile.
    wrong = [name for name in wrong if history_files.names(home.journal, name)]
    if wrong:
        hint = "A backup may have it; until then its predictions can't get labels."
        raise DatasetDamaged(f"{wrong[0]} is gone or damaged ({len(wrong)} in all).", hint=hint)
    size, rows = sum(file["bytes"] for file in files), sum(file["rows"] for file in files)
    return f"{counted(rows, 'prediction')} in {counted(len(files), 'file')}, {size} bytes."


def _wrong(home: Home, files: Sequence[HistoryFile]) -> list[str]:
    here = {file["object"] for file in files if (home.logs / file["object"]).exists()}
    damaged = [file["object"] for file in files if file["object"] in here and not _is_intact(home, file)]
    away = {file["object"]: file["bytes"] for file in files if file["object"] not in here}
    if not away:
        return damaged
    store = open_store(settings.load(home.settings).storage)
    if store is None:
        return damaged + list(away)
    try:
        stored = {entry.name: entry.size for entry in store.listing(f"{FOLDER}/")}
    finally:
        store.close()
    return damaged + [name for name, size in away.items() if stored.get(name) != size]


def _is_intact(home: Home, file: HistoryFile) -> bool:
    return durable.is_intact(home.logs / file["object"], file["sha256"])
