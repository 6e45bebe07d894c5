"""The tables of notices and acknowledgements in journals of before: they are made when the journal is opened, in its file and on a server."""

from contextlib import closing

import pytest
from sqlalchemy import inspect, text

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.journal.notices import NoticeKind
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server import copies

NEW = {"notices", "deliveries", "acknowledgements"}


def make_older(home: Home) -> None:
    """As a journal is that an earlier retraind made."""
    with closing(Journal.open(home.journal)) as journal, journal.database.writing() as connection:
        for name in NEW:
            connection.execute(text(f"DROP TABLE {name}"))


@pytest.mark.engines
def test_journal_of_before_gets_the_tables(home: Home) -> None:
    make_older(home)
    with closing(Journal.open(home.journal)) as journal:
        assert set(inspect(journal.database.connection).get_table_names()) >= NEW
        journal.notices.record(NoticeKind.FAILED, 1, 1, 1, ["webhook"])
        assert [row["target"] for row in journal.notices.due()] == ["webhook"]


def test_server_without_the_tables_is_copied(placed: Home) -> None:
    """While a daemon of before still runs: a backup and a move take what there is."""
    make_older(placed)
    server = journal_server.beside(placed.journal)
    assert server is not None
    copies.to_file(server, placed.root / "copy.db")
    with closing(Journal.open(placed.root / "copy.db")) as journal:
        assert journal.notices.due() == []
