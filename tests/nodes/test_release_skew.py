"""Nodes and leaders of different releases work together: in an upgrade each is replaced by itself, in any order."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks.postgres import Postgres
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.node.messages import NodeReport, NodeState
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server import log_rows, node_rows
from retraind.daemon.storage.server.node_session import NodeSession

REPORT = NodeReport(name="one", generation=0, state=NodeState.WAITING, version=None, problem="")


@pytest.fixture
def journal(placed: Home) -> Iterator[Journal]:
    """A journal whose leader has made the tables of nodes."""
    with closing(Journal.open(placed.journal)) as journal:
        with journal.database.writing() as connection:
            node_rows.lead(connection, "here")
        yield journal


def change(server: Postgres, home: Home, *statements: str) -> str:
    """Change the tables of a home's schema as another release has them; the address."""
    place = journal_server.named(home.journal)
    assert place is not None
    server.sql(f"SET search_path TO {place.url.rpartition('%3D')[2]}", *statements)
    return place.url


def test_node_works_with_the_tables_of_a_later_leader(journal: Journal, placed: Home, postgres: Postgres) -> None:
    """Each has a column that this release does not know."""
    tables = ("desired", "nodes", "node_logs", "versions")
    url = change(postgres, placed, *(f"ALTER TABLE {name} ADD COLUMN later text DEFAULT 'x'" for name in tables))
    with closing(NodeSession(url, "retraind node one")) as session:
        desired = session.desired()
        assert desired is not None
        assert desired.leader == "here"
        session.report(REPORT, news=True)
        assert [report.name for report in session.reports()] == ["one"]
        assert log_rows.ship(session, "a" * 64, "predictions.jsonl", "one")
        assert session.version(1) is None


def test_node_reads_the_row_of_an_earlier_leader(journal: Journal, placed: Home, postgres: Postgres) -> None:
    """It has no column for a challenger."""
    url = change(
        postgres,
        placed,
        "ALTER TABLE desired DROP COLUMN challenger",
        "ALTER TABLE desired DROP COLUMN challenger_manifest",
    )
    with closing(NodeSession(url, "retraind node one")) as session:
        desired = session.desired()
    assert desired is not None
    assert (desired.leader, desired.version) == ("here", None)


def test_leader_adds_the_columns_that_an_earlier_one_lacked(journal: Journal, placed: Home, postgres: Postgres) -> None:
    url = change(postgres, placed, "ALTER TABLE desired DROP COLUMN challenger")
    with journal.database.writing() as connection:
        node_rows.lead(connection, "there")
    with closing(NodeSession(url, "retraind node one")) as session:
        desired = session.desired()
    assert desired is not None
    assert desired.leader == "there"
