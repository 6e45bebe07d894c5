"""Artifact paths: a home that was moved or copied keeps its models in its own folder.

MLflow's database has absolute paths, so a copied home would write into the original's folder. They are corrected in one
transaction before MLflow opens the database. A home reached by another path, a symlink or another mount, counts as the
same home. They also change when the artifacts are from now on in the object store, or no longer.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.home import Home
from retraind.daemon.storage.mlflow import mlflow_database
from retraind.daemon.storage.mlflow.mlflow_database import MlflowDatabase, Statements

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

NAMED = "SELECT {column} AS place FROM {table} WHERE {column} LIKE 'file://%'"

RECORDED = f"SELECT artifact_location AS place FROM experiments WHERE name = '{EXPERIMENT}'"

DATA = """
UPDATE datasets SET dataset_source = replace(dataset_source, '"' || ? || '"', '"' || ? || '"')"""
"""The runs' paths of their data, as text within JSON."""


class ForeignPath(NamedTuple):
    """A folder outside the home that MLflow's database names, and the number of rows that name it."""

    place: str
    rows: int


def relocate(home: Home, root: Path | None = None, database: MlflowDatabase | None = None) -> str | None:
    """Change MLflow's paths to the home, which is or will be at `root`; returns a sentence if any changed.

    Raises Unavailable when the database can't be used.
    """
    database = database or mlflow_database.of(home)
    old = _recorded(database)
    new = mlflow_server.artifacts(home) if root is None else Home(root.absolute()).artifacts.as_uri()
    if old is None or old == new or (_is_path(old) and _is_path(new) and _same(_path(old), _path(new))):
        return None
    places = _places(database)
    with database.writing() as transaction:
        _rewrite(transaction, places, old, new)
    if not (_is_path(old) and _is_path(new)):
        return f"MLflow's files were recorded at {old}; from now on they are at {new}."
    # DVC's state on files by their paths is made again. DVC itself would make its folder writable for everybody.
    notes = home.dvc_site
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir(mode=0o700, exist_ok=True)
    origin = _path(old).parent.parent
    return f"This home was moved or copied from {origin}: its models are now stored in {_path(new)}."


def _recorded(database: MlflowDatabase) -> str | None:
    """The URI of the artifacts' folder in MLflow's database; None if our experiment is not in it."""
    rows = database.ask(RECORDED) if database.has_column("experiments", "artifact_location") else []
    return rows[0]["place"] if rows else None


def _rewrite(transaction: Statements, places: list[tuple[str, str]], old: str, new: str) -> None:
    for table, column in places:
        transaction.execute(MOVE.format(table=table, column=column), (new, old))
    if _is_path(old) and _is_path(new):
        folders = [str(_path(place).parent.parent / "data") for place in (old, new)]
        transaction.execute(DATA, [json.dumps(folder)[1:-1] for folder in folders])


def foreign_paths(home: Home) -> list[ForeignPath]:
    """Folders outside the home that MLflow's database has for our files; raises Unavailable when it can't be read."""
    database = mlflow_database.of(home)
    if _recorded(database) is None:
        return []
    return [one for one in _named(database) if not _same(Path(one.place), home.artifacts)]


def _named(database: MlflowDatabase) -> Iterator[ForeignPath]:
    """Each folder `…/registry/artifacts` that any row names."""
    counts: dict[str, int] = {}
    for table, column in _places(database):
        for row in database.ask(NAMED.format(table=table, column=column)):
            head, mark, _ = str(_path(row["place"])).partition("/registry/artifacts")
            if mark:
                counts[head + mark] = counts.get(head + mark, 0) + 1
    return (ForeignPath(place, count) for place, count in counts.items())


def _places(database: MlflowDatabase) -> list[tuple[str, str]]:
    """The PLACES that the database has: an earlier MLflow's may lack some, and its migration adds them empty."""
    return [place for place in PLACES if database.has_column(*place)]


def _is_path(uri: str) -> bool:
    return uri.startswith((FILE, "/"))


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path) if uri.startswith(FILE) else uri)


def _same(path: Path, other: Path) -> bool:
    """Whether two paths are the same folder, even through a symlink or another mount."""
    return path == other or (path.exists() and other.exists() and path.samefile(other))
