"""Versions that the journal has and MLflow's database lost: put back, so that they can be served and their numbers are not given again.

The database of a machine goes with its disk, and the journal may lie elsewhere. What MLflow alone knew of them (runs, figures,
models) is gone; the bundles, which serve and judge, have nothing to do with that.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from retraind.daemon.core.journal_rows import VersionRow
from retraind.daemon.storage.mlflow.mlflow_database import MlflowDatabase, Statements
from retraind.daemon.storage.model_versions import NAME, TAG

KNOWN = f"SELECT version FROM model_versions WHERE workspace = 'default' AND name = '{NAME}' LIMIT 1"

VERSION = f"""
INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, current_stage, source, run_id, status)
VALUES ('{NAME}', ?1, ?2, ?2, ?3, 'None', 'runs:/' || ?4 || '/model', ?4, 'READY')"""

LABEL = f"INSERT INTO model_version_tags (name, version, key, value) VALUES ('{NAME}', ?, '{TAG}' || ?, ?)"

POINT = f"INSERT INTO registered_model_aliases (name, alias, version) VALUES ('{NAME}', ?, ?)"

THERE = f"SELECT version, run_id FROM model_versions WHERE workspace = 'default' AND name = '{NAME}'"

UNPOINT = f"DELETE FROM registered_model_aliases WHERE workspace = 'default' AND name = '{NAME}'"

REMOVE = tuple(
    f"DELETE FROM {table} WHERE workspace = 'default' AND name = '{NAME}' AND version = ?"
    for table in ("model_version_tags", "model_versions")
)

LABELS = ("bundle", "candidate", "backend", "revision", "dvc_md5")


def all_gone(database: MlflowDatabase) -> bool:
    """Whether the database has no version at all, not even one that a person has deleted; raises Unavailable."""
    return not database.ask(KNOWN)


def restore(database: MlflowDatabase, judged: Sequence[VersionRow], aliases: Mapping[str, int | None]) -> None:
    """Put the `judged` versions and the `aliases` into a database that has none; raises Unavailable."""
    with database.writing() as connection:
        _insert(connection, judged, aliases)


def replace(database: MlflowDatabase, judged: Sequence[VersionRow], aliases: Mapping[str, int | None]) -> int:
    """Make a database have exactly the `judged` versions and the `aliases`; how many others it had. Raises Unavailable."""
    runs = {row["version"]: row["mlflow_run"] for row in judged}
    with database.writing() as connection:
        there = {row["version"]: row["run_id"] for row in connection.execute(THERE).fetchall()}
        others = [version for version, run in there.items() if runs.get(version) != run]
        connection.execute(UNPOINT)
        for statement in REMOVE:
            for version in others:
                connection.execute(statement, (version,))
        missing = [row for row in judged if there.get(row["version"]) != row["mlflow_run"]]
        _insert(connection, missing, aliases)
    return len(others)


def _insert(connection: Statements, judged: Sequence[VersionRow], aliases: Mapping[str, int | None]) -> None:
    for row in judged:
        number, moment = row["version"], int(1000 * datetime.fromisoformat(row["judged_at"]).timestamp())
        connection.execute(VERSION, (number, moment, row["reason"][:5000], row["mlflow_run"]))
        labels = {"verdict": row["state"], **{label: row[label] for label in LABELS}}  # type: ignore[literal-required]
        for label, value in labels.items():
            connection.execute(LABEL, (number, label, value))
    for alias, version in aliases.items():
        if version is not None:
            connection.execute(POINT, (alias, version))
