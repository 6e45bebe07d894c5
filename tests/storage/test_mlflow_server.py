"""MLflow's database on a PostgreSQL server beside the MLflow that is installed, and the fence against leaders whose epoch is over."""

import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import mlflow_servers
import mlflow_tables as generated
import postgres as servers
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow_servers import leading, session
from service import wait_until

from benchmarks.postgres import Postgres
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.databases.mlflow_server import MlflowServer
from retraind.daemon.core.errors import BadSettings, NotFound, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage import artifact_paths, mlflow_tables
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.mlflow import mlflow_copies
from retraind.daemon.storage.mlflow.mlflow_session import Leader, MlflowOnServer
from retraind.daemon.storage.model_versions import CHALLENGER, CHAMPION, LAYOUT, NAME, PREVIOUS, ModelVersions

VERDICTS = "SELECT value FROM model_version_tags"


@pytest.fixture
def there(home: Home, postgres: Postgres) -> Home:
    """A home whose MLflow database is to be on the server."""
    mlflow_servers.place(home, postgres)
    return home


def url(home: Home) -> str:
    server = mlflow_server.beside(home)
    assert server is not None
    return server.url


def with_versions(home: Home, count: int = 3) -> MlflowClient:
    """MLflow's client of a home, with so many versions, the first of which is the champion."""
    registry = Registry(home)
    registry.open()
    for _ in range(count):
        run = registry.start_run("training", {})
        registry.client.create_model_version(NAME, "file:///nowhere", run, {"retraind.bundle": "b" * 64})
    registry.client.set_registered_model_alias(NAME, CHAMPION, "1")
    return registry.client


def by_client(client: MlflowClient, alias: str) -> int | None:
    try:
        return int(client.get_model_version_by_alias(NAME, alias).version)
    except MlflowException:
        return None


@pytest.mark.slow
def test_statements_are_those_of_the_installed_mlflow(postgres: Postgres) -> None:
    """Tables, constraints and indexes; an MLflow that makes others fails here: run tests/mlflow_tables.py."""
    generated.make_on_server(theirs := postgres.url())
    assert mlflow_tables.SERVER_STATEMENTS.read_text().splitlines()[1:] == [
        *generated.on_server(postgres, theirs).splitlines(),
        *generated.rows_on_server(postgres, theirs),
    ]


def test_mlflow_reads_and_writes_what_we_do(there: Home) -> None:
    """Versions, aliases and verdicts, in both directions, and the runs of killed trainings."""
    assert ModelVersions(there).layout() is None
    assert ModelVersions(there).versions() == []
    client, ours = with_versions(there), ModelVersions(there)
    assert ours.layout() == LAYOUT
    assert ours.unfinished()
    mlflow_tables.kill_runs(there)
    assert not ours.unfinished()
    client.delete_model_version(NAME, "3")
    assert [(one.version, one.bundle, one.cleared) for one in ours.versions()] == [
        (number, "b" * 64, False) for number in (1, 2)
    ]
    assert {client.get_run(one.run).info.status for one in ours.versions()} == {"KILLED"}
    ours.set_alias(CHAMPION, 2)
    ours.set_alias(PREVIOUS, 1)
    ours.set_alias(CHALLENGER, 1)
    ours.set_alias(CHALLENGER, None)
    aliases = (CHAMPION, PREVIOUS, CHALLENGER)
    assert [by_client(client, alias) for alias in aliases] == [ours.alias(alias) for alias in aliases] == [2, 1, None]
    with pytest.raises(NotFound):
        ours.set_alias(CHAMPION, 3)
    ours.describe(2, VersionState.REFUSED, "Accuracy falls.")
    ours.mark_cleared(1)
    second = client.get_model_version(NAME, "2")
    assert (second.description, second.tags["retraind.verdict"]) == ("Accuracy falls.", "refused")
    assert client.get_model_version(NAME, "1").tags["retraind.artifacts"] == "removed"
    assert ours.leftover_runs() == []
    assert artifact_paths.foreign_paths(there) == []
    assert not list(there.registry.glob("mlflow.db*"))


def test_late_write_of_a_leader_whose_epoch_is_over_is_refused(there: Home) -> None:
    """Its aliases, verdicts and descriptions, on a session that it has kept and on a new one; nothing has changed."""
    person = mlflow_servers.with_versions(there)
    with leading(there, 1) as deposed:
        late = ModelVersions(there, deposed)
        late.set_alias(CHAMPION, 2)
        with leading(there, 2) as present:
            for _ in range(2):
                with pytest.raises(Unavailable, match="epoch 1 is over, 2 leads"):
                    late.set_alias(CHAMPION, 1)
                with pytest.raises(Unavailable, match="epoch 1 is over"):
                    late.set_alias(CHAMPION, None)
                with pytest.raises(Unavailable, match="epoch 1 is over"):
                    late.describe(2, VersionState.REFUSED, "Too late.")
                assert (person.alias(CHAMPION), person.database.ask(VERDICTS)) == (2, [])
                deposed.close()
            ModelVersions(there, present).set_alias(CHAMPION, 3)
        assert person.alias(CHAMPION) == 3


def test_mlflow_itself_with_an_epoch_that_is_over_is_refused(there: Home) -> None:
    """Whatever program carries it; one without an epoch, such as a person's, may move an alias, and the leader hears of it."""
    client = with_versions(there)
    with leading(there, 7) as database:
        before = database.stamp()
        assert not database.signalled()
        stale = f"{url(there)}%20-cretraind.epoch%3D6"
        with pytest.raises(MlflowException, match="epoch 6 is over, 7 leads"):
            MlflowClient(stale, stale).set_registered_model_alias(NAME, CHAMPION, "2")
        assert by_client(client, CHAMPION) == 1
        client.set_registered_model_alias(NAME, CHAMPION, "2")
        wait_until(database.signalled, 5, "the leader to hear of it")
        assert ModelVersions(there, database).alias(CHAMPION) == 2
        assert database.stamp() != before


def test_training_of_a_deposed_leader_may_register_a_version(there: Home) -> None:
    """Its trainer carries no epoch: the version is one more that the present leader judges, and no alias names it."""
    client = with_versions(there)
    with leading(there, 1), leading(there, 2) as present:
        registry = Registry(there)  # of the trainer that the deposed leader has started
        run = registry.start_run("training", {})
        version = registry.client.create_model_version(NAME, "file:///nowhere", run, {"retraind.bundle": "c" * 64})
        assert [one.version for one in ModelVersions(there, present).versions(after=3)] == [int(version.version)] == [4]
        assert by_client(client, CHAMPION) == 1


def test_stopped_leader_in_a_transaction_does_not_keep_the_next_one_waiting(there: Home) -> None:
    """It has locked the row of the epoch when it stops; it can't commit afterwards."""
    person = mlflow_servers.with_versions(there)
    with leading(there, 1) as stopped:
        transaction = stopped.writing()
        transaction.__enter__().execute("UPDATE registered_model_aliases SET version = 2")
        started = time.monotonic()
        with leading(there, 2):
            assert time.monotonic() - started < 5
        with pytest.raises(Unavailable):
            transaction.__exit__(None, None, None)
        assert person.alias(CHAMPION) == 1


def test_database_of_another_home_and_the_schema_of_a_journal_are_refused(there: Home, postgres: Postgres) -> None:
    """Versions of two homes would mix, and both have a table `runs`."""
    with (
        leading(there, 1, "one"),
        pytest.raises(BadSettings, match="belongs to another home"),
        leading(there, 2, "two"),
    ):
        pass
    Journal.open(postgres_journal(there, postgres)).close()
    with pytest.raises(BadSettings, match="has a journal"):
        ModelVersions(there).versions()


def postgres_journal(home: Home, postgres: Postgres) -> Path:
    """A journal in the schema that MLflow's database is said to be in."""
    mlflow_server.write(home, MlflowServer(postgres.place(home), ""))
    return home.journal


def test_settings_name_the_server_for_all_processes(home: Home, postgres: Postgres) -> None:
    """Also what is in the store; without the setting the place stays. A database in its file is not left behind silently."""
    address = postgres.url()
    mlflow_server.settle(home, "", "s3://b/h")
    assert mlflow_server.named(home) is None
    mlflow_server.settle(home, address, "s3://b/h")
    assert mlflow_server.named(home) == MlflowServer(address, "s3://b/h/mlflow")
    mlflow_server.settle(home, "", "")
    assert mlflow_server.named(home) == MlflowServer(address, "")
    home.mlflow.touch()
    with pytest.raises(BadSettings, match=r"mlflow\.db") as error:
        mlflow_server.settle(home, address, "")
    assert f"migrate --mlflow {address}" in str(error.value.hint)
    assert mlflow_server.beside(home) is None


def test_session_is_opened_again_after_the_server_has_ended_it(there: Home, postgres: Postgres) -> None:
    """And counts as a change: what happened meanwhile was not heard."""
    person = mlflow_servers.with_versions(there)
    with leading(there, 1) as database:
        ours, before = ModelVersions(there, database), database.stamp()
        servers.terminate(postgres, "retraind")
        person.set_alias(CHAMPION, 2)
        assert ours.alias(CHAMPION) == 2
        assert database.stamp() != before


def test_unreachable_server_is_said_at_once_and_tried_again(home: Home, own_server: Postgres) -> None:
    """While it is away each question fails without waiting for it, and it goes on by itself."""
    mlflow_servers.place(home, own_server)
    with leading(home, 1) as database:
        ours = ModelVersions(home, database)
        own_server.stop("immediate")
        with pytest.raises(Unavailable, match="MLflow's database can't be used"):
            ours.alias(CHAMPION)
        started = time.monotonic()
        with pytest.raises(Unavailable, match="MLflow's database can't be used"):
            ours.alias(CHAMPION)
        assert time.monotonic() - started < 0.5
        own_server.start()
        wait_until(lambda: readable(ours), 10, "the server to be asked again")


def readable(ours: ModelVersions) -> bool:
    try:
        return ours.versions() == []
    except Unavailable:
        return False


def test_threads_share_the_session(there: Home) -> None:
    """One asks while the other is in a transaction."""
    mlflow_servers.with_versions(there)
    with leading(there, 1) as database:
        ours, seen = ModelVersions(there, database), list[int | None]()
        reader = threading.Thread(target=lambda: seen.append(ours.alias(CHAMPION)))
        with database.writing() as transaction:
            transaction.execute("UPDATE registered_model_aliases SET version = 2")
            reader.start()
            time.sleep(0.05)
            assert seen == []
        reader.join(5)
        assert seen == [2]


def test_database_moves_to_the_server_and_back(mlflow_home: Home, postgres: Postgres, tmp_path: Path) -> None:
    """Every row, with true and false, and the next numbers; the file is kept."""
    client = with_versions(mlflow_home)
    registry = Registry(mlflow_home)
    run = registry.start_run("training", {})
    registry.log(run, {"depth": 3}, {"accuracy": 0.1 + 0.2}, {"note": "a ’quoted’ \"text\" with 'all'?"})
    client.set_terminated(run)
    before = rows_of(mlflow_home.mlflow)
    shutil.copy(mlflow_home.mlflow, tmp_path / "kept.db")
    address = postgres.url()
    said = mlflow_copies.move_to_server(mlflow_home, address)
    assert address in said
    assert (mlflow_home.registry / mlflow_copies.MOVED).exists()
    client = Registry(mlflow_home).client
    assert client.get_run(run).data.metrics == {"accuracy": 0.1 + 0.2}
    assert int(client.create_model_version(NAME, "file:///nowhere", run).version) == 4
    client.delete_model_version(NAME, "4")
    assert int(client.create_experiment("other")) == 2
    shutil.copy(tmp_path / "kept.db", mlflow_home.mlflow)
    with pytest.raises(BadSettings, match="already"):
        mlflow_copies.move_to_server(mlflow_home, address)
    mlflow_home.mlflow.unlink()
    with session(address) as connection:
        connection.execute("DELETE FROM experiments WHERE name = 'other'")
        connection.execute("DELETE FROM model_versions WHERE version = 4")
    mlflow_copies.move_to_file(mlflow_home)
    assert mlflow_server.beside(mlflow_home) is None
    assert rows_of(mlflow_home.mlflow) == before


def rows_of(path: Path) -> dict[str, list[str]]:
    """Every row of every table of a file, but when the model was last changed."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {
            name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name != "sqlite_sequence"
        }
    rows.pop("registered_models")
    return {name: sorted(map(repr, found)) for name, found in rows.items()}


def test_leader_without_an_epoch_takes_nothing_from_one_that_has_one(there: Home) -> None:
    """A journal in a file has no leadership; its home's lock is enough."""
    with leading(there, 3), leading(there, None):
        assert MlflowOnServer(MlflowServer(url(there), ""), Leader("home", 3)).ask(
            "SELECT epoch FROM retraind_home"
        ) == [{"epoch": 3}]
