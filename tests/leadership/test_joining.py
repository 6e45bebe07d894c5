"""A home that has no data joins the journal that another machine has made."""

from contextlib import closing
from pathlib import Path

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.service.standby import join
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server.leader_rows import LeaderRows
from retraind.daemon.storage.server.node_session import NodeSession


def test_home_takes_the_id_of_the_journal_once_there_is_one(placed: Home, tmp_path: Path) -> None:
    """Whoever comes first makes the journal; until then there is nothing to join."""
    first = journal_server.named(placed.journal)
    assert first is not None
    other = Home(tmp_path / "other")
    other.root.mkdir()
    other.make()
    journal_server.settle(other, first.url)
    session = NodeSession(first.url, "retraind standby")
    try:
        rows = LeaderRows(session)
        before = journal_server.named(other.journal)
        join(other, rows)
        assert journal_server.named(other.journal) == before
        Journal.open(placed.journal).close()
        join(other, rows)
        assert journal_server.named(other.journal) == first
    finally:
        session.close()
    with closing(Journal.open(other.journal)) as journal:
        assert journal.batches.last() == 0
