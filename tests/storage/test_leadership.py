"""retraind.daemon.storage.server.leadership with a real PostgreSQL: epochs, sessions that are left behind, and who may hold the row."""

import os
import time
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest
from journal_entries import accept
from postgres import terminate

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import AlreadyRunning, JournalTaken, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.leader.identity import Leader, reason_of_change
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server import copies, node_rows

A = Leader("box-a", "http://box-a:8000", "box-a:/home", "boot", beats=True)
B = Leader("box-b", "http://box-b:8000", "box-b:/home", "boot", beats=True)


def schema(home: Home) -> str:
    """The schema of a home's journal."""
    server = journal_server.named(home.journal)
    assert server is not None
    return server.url.rpartition("%3D")[2]


def test_each_process_that_opens_the_journal_starts_an_epoch(placed: Home, postgres: Postgres) -> None:
    terms = []
    for leader in (A, A, B, replace(A, ended=3.24), None):
        with closing(Journal.open(placed.journal, leader)) as journal:
            terms.append(journal.term)
    said = [(term.epoch, term.reason, term.overtaken) for term in terms if term is not None]
    assert said[:4] == [
        (1, "First start.", False),
        (2, "box-a started again.", False),
        (3, "The session of box-a ended.", True),
        (4, "box-b did not beat for 3.2 s and was ended.", True),
    ]
    assert said[4][0] == 5
    [row] = postgres.sql(f"SELECT epoch, leader, beat FROM {schema(placed)}.leadership")
    assert row == (5, f"retraind {os.getpid()} on {os.uname().nodename}", None)


def test_command_that_opens_the_journal_is_no_other_home(placed: Home) -> None:
    """The files of the home are not out of date after a repair."""
    for leader in (A, None):
        Journal.open(placed.journal, leader).close()
    with closing(Journal.open(placed.journal, A)) as journal:
        assert journal.term is not None
        assert (journal.term.epoch, journal.term.overtaken) == (3, False)
    with closing(Journal.open(placed.journal, B)) as journal:
        assert journal.term is not None
        assert journal.term.overtaken


def test_home_stays_behind_until_it_has_caught_up(placed: Home) -> None:
    """A start that is killed before leaves the next one as far behind; so does a command in between."""
    for first in (A, B):
        Journal.open(placed.journal, first).close()
    for leader in (A, A, None, replace(A, beats=False), A):
        with closing(Journal.open(placed.journal, leader)) as journal:
            assert journal.term is not None
            assert journal.term.overtaken
    with closing(Journal.open(placed.journal, A)) as journal:
        journal.database.settle()
        assert journal.term is not None
        assert journal.term.reason == "box-a started again."
    with closing(Journal.open(placed.journal, A)) as journal:
        assert journal.term is not None
        assert not journal.term.overtaken


def test_home_without_standbys_is_overtaken_only_by_one_with_them(placed: Home) -> None:
    """A new container of the same home has another name."""
    single, renamed = replace(A, beats=False), replace(A, home="container-2:/home", beats=False)
    overtaken = []
    for leader in (single, renamed, B, single):
        with closing(Journal.open(placed.journal, leader)) as journal:
            assert journal.term is not None
            overtaken.append(journal.term.overtaken)
    assert overtaken == [False, False, True, True]


def test_reconnecting_process_keeps_its_epoch_and_names_its_new_session(placed: Home, postgres: Postgres) -> None:
    with closing(Journal.open(placed.journal, A)) as journal:
        accept(journal, 1)
        before = postgres.sql(f"SELECT pid, epoch FROM {schema(placed)}.leadership")
        assert terminate(postgres, f"retraind {os.getpid()} %")
        accept(journal, 2)
        [(pid, epoch)] = postgres.sql(f"SELECT pid, epoch FROM {schema(placed)}.leadership")
        assert epoch == before[0][1]
        assert pid != before[0][0]


def test_deposed_process_ends_although_nothing_was_written_since(placed: Home, postgres: Postgres) -> None:
    """The next leader has already left again: only the epoch tells that there was one."""
    with closing(Journal.open(placed.journal, A)) as journal:
        accept(journal, 1)
        terminate(postgres, f"retraind {os.getpid()} %")
        Journal.open(placed.journal, B).close()
        with pytest.raises(JournalTaken):
            accept(journal, 2)


def test_foreign_holder_is_not_waited_for(placed: Home, postgres: Postgres) -> None:
    """A tool that has the lock and no epoch: each call fails at once, and the server is not asked again for a while."""
    with closing(Journal.open(placed.journal, A)) as journal:
        accept(journal, 1)
        terminate(postgres, f"retraind {os.getpid()} %")
        with psycopg.connect(f"host={postgres.folder} user=postgres dbname=postgres") as tool:
            from retraind.daemon.storage.server import session

            key = session.lock_key(schema(placed))
            tool.execute("SELECT pg_advisory_lock(%s, %s)", (session.LOCK_CLASS, key))
            began = time.monotonic()
            with pytest.raises(AlreadyRunning):
                accept(journal, 2)
            with pytest.raises(Unavailable, match="in use by"):
                accept(journal, 2)
            assert time.monotonic() - began < 1


def test_session_that_the_home_has_left_is_ended(placed: Home) -> None:
    """Its connection broke without notice, and the server would keep it for a while; that of another home is left alone."""
    left = Journal.open(placed.journal, A)
    with pytest.raises(AlreadyRunning):
        Journal.open(placed.journal, B)
    with pytest.raises(AlreadyRunning):
        Journal.open(placed.journal, replace(A, boot="another"))
    with closing(Journal.open(placed.journal, A)) as journal:
        accept(journal, 1)
        with pytest.raises(JournalTaken):
            accept(left, 2)
    left.close()


def test_stopped_writer_outside_does_not_keep_the_next_leader_waiting(placed: Home, postgres: Postgres) -> None:
    """A transaction on MLflow's tables holds the row, so that no epoch starts before its end: or it is ended."""
    Journal.open(placed.journal, A).close()
    with psycopg.connect(f"host={postgres.folder} user=postgres dbname=postgres") as stopped:
        stopped.execute(f"SELECT epoch FROM {schema(placed)}.leadership FOR KEY SHARE".encode())
        with closing(Journal.open(placed.journal, B)) as journal:
            assert journal.term is not None
            assert journal.term.epoch == 2
        with pytest.raises(psycopg.OperationalError):
            stopped.execute("SELECT 1")


def test_epochs_and_generations_go_on_after_a_move_to_another_place(placed: Home, postgres: Postgres) -> None:
    """MLflow's database and the nodes know the last ones, and would refuse the leader for good."""
    Journal.open(placed.journal, A).close()
    with closing(Journal.open(placed.journal, B)) as journal, journal.database.writing() as connection:
        row = node_rows.lead(connection, "http://box-b:8000")
        assert row.generation == 0
        assert node_rows.write(connection, row.model_copy(update={"generation": 7}))
    copies.move_to_file(placed)
    url = postgres.url()
    copies.move_to_server(placed, url)
    with closing(Journal.open(placed.journal, A)) as journal:
        assert journal.term is not None
        assert (journal.term.epoch, journal.term.overtaken) == (3, False)
        with journal.database.writing() as connection:
            assert node_rows.lead(connection, "http://box-a:8000").generation == 7


def test_file_has_no_epoch(home: Home) -> None:
    with closing(Journal.open(home.journal)) as journal:
        assert journal.term is None


@pytest.mark.parametrize(
    ("leader", "before", "again", "reason"),
    [
        (A, None, False, "First start."),
        (A, "box-b", False, "The session of box-b ended."),
        (A, "box-a", True, "box-a started again."),
        (replace(A, ended=0.96), "box-b", False, "box-b did not beat for 1.0 s and was ended."),
    ],
)
def test_reasons(leader: Leader, before: str | None, again: bool, reason: str) -> None:
    assert reason_of_change(leader, before, again=again) == reason
