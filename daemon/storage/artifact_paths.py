"""Artifact paths: a home that was moved or copied keeps its models in its own folder.

MLflow's database has absolute paths, so a copied home would write into the original's folder. They are corrected in one
transaction before MLflow opens the database. A home reached by another path, a symlink or another mount, counts as the
same home.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from daemon.core.home import Home
from daemon.storage import mlflow_file
from daemon.storage.mlflow_file import BUSY_SECONDS

EXPERIMENT = "retraind"

FILE = "file://"

PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's database with the paths of files."""

MOVE = """
UPDATE {table} SET {column} = ?1 || substr({column}, length(?2) + 1)
WHERE {column} = ?2 OR substr({column}, 1, length(?2) + 1) = ?2 || '/'"""

NAMED = "SELECT {column} FROM {table} WHERE {column} LIKE 'file://%'"


COLUMN = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"


class ForeignPath(NamedTuple):
    """A folder outside the home that MLflow's database names, and the number of rows that name it."""

    place: str
    rows: int


def relocate(home: Home, root: Path | None = None) -> str | None:
    """Change MLflow's paths to the home, which is or will be at `root`; returns a sentence if any changed.

    Raises sqlite3.Error when the database can't be used.
    """
    if not home.mlflow.exists():
        return None
    new = Home((root or home.root).absolute())
    with closing(sqlite3.connect(home.mlflow, timeout=BUSY_SECONDS)) as connection:
        old = _recorded(connection)
        if old is None or _same(old, new.artifacts):
            return None
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            _rewrite(connection, old, new)
    # DVC's state on files by their paths is made again. DVC itself would make its folder writable for everybody.
    notes = home.dvc_site
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir(mode=0o700, exist_ok=True)
    return f"This home was moved or copied from {old.parent.parent}: its models are now stored in {new.artifacts}."


def _recorded(connection: sqlite3.Connection) -> Path | None:
    """The artifacts' folder in MLflow's database; None if our experiment is not in it."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    row = connection.execute(query, (EXPERIMENT,)).fetchone() if "experiments" in tables else None
    return None if row is None else _path(row[0])


def _rewrite(connection: sqlite3.Connection, old: Path, new: Home) -> None:
    before, after = old.as_uri(), new.artifacts.as_uri()
    for table, column in _places(connection):
        connection.execute(MOVE.format(table=table, column=column), (after, before))
    # The runs' paths of their data, as text within JSON.
    pair = (json.dumps(str(old.parent.parent / "data"))[1:-1], json.dumps(str(new.data))[1:-1])
    connection.execute(
        "UPDATE datasets SET dataset_source = replace(dataset_source, '\"' || ? || '\"', '\"' || ? || '\"')", pair
    )


def foreign_paths(home: Home) -> list[ForeignPath]:
    """Folders outside the home that MLflow's database has for our files; raises sqlite3.Error when it can't be read."""
    if not home.mlflow.exists():
        return []
    with mlflow_file.reading(home.mlflow) as connection:
        return [one for one in _named(connection, _recorded(connection)) if not _same(Path(one.place), home.artifacts)]


def _named(connection: sqlite3.Connection, recorded: Path | None) -> Iterator[ForeignPath]:
    """Each folder `…/registry/artifacts` that any row names; `recorded` is the experiment's."""
    counts: dict[str, int] = {}
    for table, column in _places(connection) if recorded is not None else ():
        for (value,) in connection.execute(NAMED.format(table=table, column=column)):
            head, mark, _ = str(_path(value)).partition("/registry/artifacts")
            if mark:
                counts[head + mark] = counts.get(head + mark, 0) + 1
    return (ForeignPath(place, count) for place, count in counts.items())


def _places(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The PLACES that the database has: an earlier MLflow's may lack some, and its migration adds them empty."""
    return [place for place in PLACES if connection.execute(COLUMN, place).fetchone()]


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path) if uri.startswith(FILE) else uri)


def _same(path: Path, other: Path) -> bool:
    """Whether two paths are the same folder, even through a symlink or another mount."""
    return path == other or (path.exists() and other.exists() and path.samefile(other))
