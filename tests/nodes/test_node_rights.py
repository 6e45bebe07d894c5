"""What the role of nodes may do, and that it may do nothing else: an intruder in a node does not reach the journal."""

from contextlib import closing
from pathlib import Path

import node_rights
import psycopg
import pytest

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.node.messages import NodeReport, NodeState
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server import log_rows, node_rows
from retraind.daemon.storage.server.node_session import NodeSession

RIGHTS = {
    ("desired", "SELECT"),
    ("versions", "SELECT"),
    *(("nodes", right) for right in ("SELECT", "INSERT", "UPDATE", "DELETE")),
    ("node_logs", "SELECT"),
    ("node_logs", "INSERT"),
}

FORBIDDEN = (
    "SELECT * FROM drops",
    "SELECT * FROM labels",
    "INSERT INTO events (at, kind, level, message) VALUES ('2026', 'started', 'info', '')",
    "UPDATE versions SET state = 'promoted'",
    "UPDATE desired SET version = 1",
    "DELETE FROM desired",
    "UPDATE node_logs SET state = 'done'",
    "DELETE FROM node_logs",
    "UPDATE journal_state SET writes = writes + 1",
    "TRUNCATE nodes",
    "DROP TABLE nodes",
    "ALTER TABLE desired ADD COLUMN later text",
    "CREATE TABLE mine (id integer)",
    "SET ROLE postgres",
)


@pytest.fixture
def url(home: Home, postgres: Postgres) -> str:
    """The address of a journal for nodes; a leader has led there once."""
    place = postgres.url()
    journal_server.settle(home, place)
    with closing(Journal.open(home.journal)) as journal, journal.database.writing() as connection:
        node_rows.lead(connection, "here")
    node_rights.grant(postgres, place)
    return node_rights.address(place)


def test_node_may_do_its_work(url: str) -> None:
    """Each statement of a node, by the session that it uses."""
    report = NodeReport(name="one", generation=0, state=NodeState.WAITING, version=None, problem="")
    with closing(NodeSession(url, "retraind node one")) as session:
        session.listen("retraind_desired")
        assert session.desired() is not None
        assert session.version(1) is None
        session.report(report, news=True)
        session.report(report, news=False)
        assert log_rows.ship(session, "a" * 64, "predictions.jsonl", "one")
        session.leave("one")


def test_role_has_these_rights_and_no_others(url: str, postgres: Postgres) -> None:
    schema = node_rights.schema(url)
    rows = postgres.sql(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants "
        f"WHERE grantee = '{node_rights.ROLE}' AND table_schema = '{schema}'"
    )
    assert set(rows) == RIGHTS


def test_role_without_rights_is_told_which_file_has_them(url: str, postgres: Postgres) -> None:
    postgres.sql(f"REVOKE SELECT ON {node_rights.schema(url)}.desired FROM {node_rights.ROLE}")
    with (
        closing(NodeSession(url, "retraind node one")) as session,
        pytest.raises(Unavailable, match=r"desired.*node-role\.sql"),
    ):
        session.desired()


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_node_may_not(url: str, statement: str) -> None:
    address = url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(address, autocommit=True) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_file_grants_what_the_page_lists() -> None:
    """docs/operations.md shows the statements of the file."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    statements = [line for line in node_rights.FILE.read_text().splitlines() if line.startswith("GRANT ")]
    assert len(statements) == 3
    assert [line for line in statements if line not in page] == []
