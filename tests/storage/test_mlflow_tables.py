"""retraind.daemon.storage.mlflow_tables beside the MLflow that is installed: a new database and closed runs are what MLflow would make of them."""

import os
import shutil
import signal
import sqlite3
import stat
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import forks
import pytest
from alembic import command
from mlflow.store.db import utils
from sqlalchemy import Engine, event

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.registry import migrations
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage import mlflow_file, mlflow_tables
from retraind.daemon.storage.mlflow.mlflow_database import MlflowFile
from retraind.daemon.storage.model_versions import LAYOUT, ModelVersions

TIMES = ("creation_time", "last_update_time", "last_updated_time", "start_time", "end_time")


def everything(path: Path) -> dict[str, Any]:
    """What makes the tables, and every row of every table; of times, whether they are there."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        made = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        tables = [name for kind, name, *_ in made if kind == "table"]
        # MLflow gives the constraints of a table that it makes again in another order each time.
        made = [(*row[:3], sorted(line.strip(", \t") for line in (row["sql"] or "").splitlines())) for row in made]
        rows = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in tables}
    for row in (row for found in rows.values() for row in found):
        row.update({key: row[key] is not None and row[key] > 0 for key in TIMES if key in row})
    return {"made": sorted(map(repr, made)), **{name: sorted(map(repr, found)) for name, found in rows.items()}}


def test_new_database_is_the_one_that_mlflow_makes(home: Home, tmp_path: Path) -> None:
    """Tables, indexes, triggers, and every row; an MLflow that makes others fails here: run tests/mlflow_tables.py."""
    assert mlflow_tables.are_of_the_installed_mlflow()
    assert mlflow_tables.open_or_make(home)
    ours = everything(home.mlflow)
    assert stat.S_IMODE(home.mlflow.stat().st_mode) == 0o600
    home.mlflow.unlink()
    migrations.create(home, MlflowFile(home.mlflow))
    Registry(home)._fill()
    assert ours == everything(home.mlflow)
    assert sorted(path.name for path in home.registry.glob("mlflow*")) == ["mlflow.db", "mlflow.db.lock"]


def test_lost_database_of_a_home_that_serves_is_not_replaced(home: Home) -> None:
    """An empty one would look healthy, and number versions from 1 again; the reason says what to do."""
    mlflow_tables.open_or_make(home)
    home.mlflow.unlink()
    home.pointer.write_text("{}")
    for action in (lambda: mlflow_tables.open_or_make(home), Registry(home).open):
        with pytest.raises(Unavailable, match=r"mlflow\.db is gone\. Put it back"):
            action()
    assert not home.mlflow.exists()


def test_database_of_another_program_gets_what_is_ours(home: Home, migrated: Path) -> None:
    """MLflow's own pages may have made it: what is there stays, and opening it again changes nothing."""
    shutil.copy(migrated, home.mlflow)
    assert mlflow_tables.open_or_make(home)
    once = everything(home.mlflow)
    assert (len(once["experiments"]), len(once["registered_models"])) == (2, 1)
    assert mlflow_tables.open_or_make(home)
    assert everything(home.mlflow) == once


@pytest.fixture
def earlier(home: Home, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a database that lacks MLflow's last migration; MLflow itself would migrate it only if tables were missing."""
    shutil.copy(migrated, home.mlflow)
    uri = f"sqlite:///{home.mlflow}"
    database: Any = utils
    engine, config = database.create_sqlalchemy_engine_with_retry(uri), database._get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    engine.dispose()
    assert ModelVersions(home).layout() not in (None, LAYOUT)
    monkeypatch.setattr(utils, "_all_tables_exist", lambda _: True)
    return home


def names(home: Home) -> list[str]:
    return sorted(path.name for path in home.registry.glob("mlflow*"))


def test_database_that_lacks_only_columns_is_migrated(earlier: Home) -> None:
    Registry(earlier).open()
    assert ModelVersions(earlier).layout() == LAYOUT
    assert names(earlier) == ["mlflow.db", "mlflow.db.lock"]


def die_in_migration(home: Home) -> None:
    """Open the database, and be killed when its tables are changed and the name of their layout is not."""

    def kill(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("UPDATE alembic_version"):
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", kill)
    Registry(home).open()


def test_kill_in_a_migration_leaves_the_database_as_it_was(earlier: Home) -> None:
    """With half a migration in it MLflow would refuse it at every later start."""
    before = everything(earlier.mlflow)
    assert forks.end(forks.start(partial(die_in_migration, earlier))) == -signal.SIGKILL
    assert everything(earlier.mlflow) == before
    assert "mlflow.db.new" in names(earlier)  # which the next start removes
    Registry(earlier).open()
    assert ModelVersions(earlier).layout() == LAYOUT
    assert names(earlier) == ["mlflow.db", "mlflow.db.lock"]


def test_database_that_another_program_writes_is_not_migrated(earlier: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes would be missing in the copy."""
    monkeypatch.setattr(mlflow_file, "BUSY_SECONDS", 0.05)
    layout = ModelVersions(earlier).layout()
    with mlflow_file.writing(earlier.mlflow), pytest.raises(Unavailable, match="can't be used: database is locked"):
        Registry(earlier).open()
    assert ModelVersions(earlier).layout() == layout


def test_what_only_mlflow_can_make_is_left_to_it(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database with other tables, and a new one where another MLflow is installed."""
    mlflow_tables.open_or_make(home)
    with closing(sqlite3.connect(home.mlflow)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'earlier'")
    assert not mlflow_tables.open_or_make(home)
    home.mlflow.unlink()
    other = tmp_path / "other.sql"
    other.write_text("-- MLflow 3.17.99\n")
    monkeypatch.setattr(mlflow_tables, "STATEMENTS", other)
    assert not mlflow_tables.open_or_make(home)
    assert not home.mlflow.exists()


def test_kill_leaves_no_half_database(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its name when it is whole; what an attempt has left is removed."""
    monkeypatch.setattr(mlflow_tables, "DEFAULT", "no statement")
    with pytest.raises(Unavailable, match="MLflow's database can't be used"):
        mlflow_tables.open_or_make(home)
    assert ModelVersions(home).layout() is None
    monkeypatch.undo()
    mlflow_tables.open_or_make(home)
    assert ModelVersions(home).layout() == LAYOUT
    assert not list(home.registry.glob("mlflow.db.new*"))


def test_runs_that_a_killed_training_left_are_closed_as_mlflow_closes_them(home: Home, tmp_path: Path) -> None:
    """Ours that seem to run, and no others; where there are none, a locked database is no hindrance."""
    mlflow_tables.open_or_make(home)
    ours = Registry(home)
    ended, *left = [ours.start_run("training", {}) for _ in range(3)]
    ours.end_run(ended)
    other = ours.client.create_run(ours.client.create_experiment("other", artifact_location=str(tmp_path)))
    theirs = Home(tmp_path / "theirs")
    theirs.make()
    shutil.copy(home.mlflow, theirs.mlflow)
    mlflow_tables.kill_runs(home)
    for run in left:
        Registry(theirs).client.set_terminated(run, "KILLED")
    assert everything(home.mlflow) == everything(theirs.mlflow)
    states = [ours.client.get_run(run).info.status for run in (ended, *left, other.info.run_id)]
    assert states == ["FINISHED", "KILLED", "KILLED", "RUNNING"]
    with mlflow_file.writing(home.mlflow):
        mlflow_tables.kill_runs(home)
