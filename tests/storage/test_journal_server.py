"""retraind.daemon.storage.server with a real PostgreSQL: lost connections, commits without an answer, and who may write."""

import itertools
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import forks
import pytest
from journal_entries import accept, batches, events, newest_event
from postgres import terminate
from relay import Relay

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import Exit, JournalTaken, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.states import EventKind
from retraind.daemon.records.query import ask, number
from retraind.daemon.storage.journal import Journal


@pytest.fixture
def relay(placed: Home, postgres: Postgres) -> Iterator[Relay]:
    """The home reaches its server by way of a relay."""
    folder = Path(tempfile.mkdtemp(prefix="retraind-relay-"))
    relay = Relay(folder, postgres)
    server = journal_server.named(placed.journal)
    assert server is not None
    url = server.url.replace(str(postgres.folder).replace("/", "%2F"), str(relay.address).replace("/", "%2F"))
    assert url != server.url
    journal_server.write(placed, replace(server, url=url))
    yield relay
    relay.close()
    shutil.rmtree(folder)


def test_commit_whose_answer_is_lost_counts_once(placed: Home, relay: Relay) -> None:
    """The server is asked whether it was made: it was, so nothing is done again."""
    with closing(Journal.open(placed.journal)) as journal:
        relay.cut = "after"
        assert accept(journal, 1) == 1
        assert accept(journal, 2) == 2
    assert relay.cut is None
    assert batches(placed) == [1, 2]
    assert len(events(placed)) == 2


def test_commit_that_did_not_arrive_is_said_to_have_failed(placed: Home, relay: Relay) -> None:
    with closing(Journal.open(placed.journal)) as journal:
        relay.cut = "before"
        with pytest.raises(Unavailable, match="can't be written"):
            accept(journal, 1)
        assert batches(placed) == []
        assert accept(journal, 1) == 1
    assert batches(placed) == [1]


@pytest.mark.parametrize("cut", ["before", "after"])
def test_process_ends_only_where_its_belief_is_wrong(
    placed: Home, relay: Relay, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stays away longer than it is waited for, so the commit counts as failed: later it turns out whether it had."""
    monkeypatch.setattr("retraind.daemon.storage.server.database.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("retraind.daemon.storage.server.database.RETRY_SECONDS", 0.1)
    with closing(Journal.open(placed.journal)) as journal:
        relay.cut, relay.down_seconds = cut, 1.0
        with pytest.raises(Unavailable):
            accept(journal, 1)
        time.sleep(1.2)
        if cut == "before":
            assert accept(journal, 1) == 1
            assert journal.taken() is None
        else:
            with pytest.raises(JournalTaken) as error:
                accept(journal, 1)
            assert error.value.exit == Exit.JOURNAL_TAKEN
            assert journal.taken()
    assert batches(placed) == [1]


def test_transaction_of_another_process_is_not_taken_for_the_own(
    placed: Home, postgres: Postgres, relay: Relay, tmp_path: Path
) -> None:
    """While the server is asked what became of a commit, another process writes just one: the number alone would tell nothing."""
    copy = Home(tmp_path / "copy")
    copy.registry.mkdir(parents=True)
    server = journal_server.named(placed.journal)
    assert server is not None
    direct = server.url.replace(quote(str(relay.address), safe=""), quote(str(postgres.folder), safe=""))
    journal_server.write(copy, replace(server, url=direct))

    def overtake() -> None:
        while relay.cut:
            time.sleep(0.01)
        with closing(Journal.open(copy.journal)) as other:
            accept(other, 7)

    thread = threading.Thread(target=overtake)
    with closing(Journal.open(placed.journal)) as journal:
        relay.cut, relay.down_seconds = "before", 1.0
        thread.start()
        with pytest.raises(JournalTaken, match="Another process"):
            accept(journal, 1)
    thread.join()
    assert [row["segment"] for row in ask(copy.journal, "SELECT segment FROM batches")] == ["7.parquet"]


def test_sessions_that_are_ended_cost_no_entry(placed: Home, postgres: Postgres) -> None:
    """Between two transactions nobody notices; in the middle of one, it has not happened."""
    with closing(Journal.open(placed.journal)) as journal:
        accept(journal, 1)
        assert terminate(postgres, f"retraind {os.getpid()} %")
        assert len(journal.batches.all()) == 1
        assert terminate(postgres, f"retraind {os.getpid()} %")
        assert accept(journal, 2) == 2

        def broken() -> None:
            with journal.together():
                accept(journal, 3)
                assert terminate(postgres, f"retraind {os.getpid()} %")
                accept(journal, 4)

        with pytest.raises(Unavailable):
            broken()
        assert accept(journal, 3) == 3
        assert journal.problem() is None
    assert batches(placed) == [1, 2, 3]


def test_readers_do_not_notice_a_session_that_was_ended(placed: Home, postgres: Postgres) -> None:
    with closing(Journal.open(placed.journal)) as journal:
        journal.events.record(EventKind.STARTED, "now")
    assert newest_event(placed) == 1
    assert terminate(postgres, "retraind reader") >= 1
    assert newest_event(placed) == 1


def write_on(home: Home, saying: int) -> None:
    """Record one batch after the other as the loop does, trying again what fails; say the number of each."""
    journal = Journal.open(home.journal)
    for count in itertools.count(1):
        while True:
            try:
                seq = accept(journal, count)
                break
            except Unavailable:
                time.sleep(0.02)
        os.write(saying, b"%d\n" % seq)


@pytest.mark.parametrize("interrupt", ["restart", pytest.param("crash", marks=pytest.mark.slow)])
def test_writing_goes_on_after_the_server_was_away(home: Home, own_server: Postgres, interrupt: str) -> None:
    """Each batch is there once, whenever the server went; `crash` is a server that is killed, and recovers."""
    own_server.place(home)
    listening, saying = os.pipe()
    writer = forks.start(partial(write_on, home, saying))
    os.close(saying)
    with os.fdopen(listening) as lines:
        said = [int(line) for line in itertools.islice(lines, 20)]
        for _ in range(2):
            own_server.stop("fast" if interrupt == "restart" else "immediate")
            own_server.start()
            said += [int(line) for line in itertools.islice(lines, 60)]
        os.kill(writer, signal.SIGKILL)
        forks.end(writer)
        said += map(int, lines)
    assert said == list(range(1, len(said) + 1))
    assert batches(home)[: len(said)] == said
    assert len(batches(home)) - len(said) in (0, 1), "the last one may have been recorded and not said"
    assert number(home.journal, "SELECT COUNT(*) FROM drops") == len(batches(home))
