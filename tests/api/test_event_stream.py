"""Events as a stream: live, replayed, and from a place that the client names."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from sites import Site

from retraind.daemon.core.states import EventKind
from retraind.daemon.storage.journal import Journal


def read_stream(connection: socket.socket, until: str) -> str:
    text = ""
    while until not in text:
        part = connection.recv(4096).decode()
        assert part, text
        text += part
    return text


def test_events_are_streamed_and_replayed(own: Site) -> None:
    journal = Journal.open(own.home.journal)
    journal.events.record(EventKind.STARTED, "first")
    journal.events.record(EventKind.WORKER, "second\nline")
    head = "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
    with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
        connection.sendall(f"{head}Last-Event-ID: 2\r\n\r\n".encode())
        text = read_stream(connection, "second")
        assert "event: status" in text
        assert "id: 3\nevent: worker\ndata: {" in text
        assert "first" not in text
        journal.events.record(EventKind.PROMOTED, "third", version=3)
        assert "id: 4\nevent: promoted" in read_stream(connection, "third")
        own.tell_status(rows=99)
        assert "event: status" in read_stream(connection, '"rows":99')
    journal.close()
    answer = own.get("/events?after=2&limit=1")[1]
    assert (answer["count"], answer["events"][0]["message"]) == (1, "second\nline")


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker whose journal tells of three events."""
    site = Site(tmp_path_factory.mktemp("eventful"))
    with closing(Journal.open(site.home.journal)) as journal:
        journal.events.record(EventKind.WORKER, "second")
        journal.events.record(EventKind.WORKER, "third")
    yield site
    site.close()


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [
        ("?after=0", "", 1),
        ("?after=2", "", 3),
        ("?after=0", "Last-Event-ID: 2\r\n", 3),  # a client that comes again asks for the address that it has
        ("?after=1", "Last-Event-ID: none\r\n", 2),
    ],
)
def test_a_stream_begins_where_it_is_asked_to(eventful: Site, query: str, header: str, first: int) -> None:
    head = f"GET /events{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{header}\r\n"
    with socket.create_connection(("127.0.0.1", eventful.port), timeout=10) as connection:
        connection.sendall(head.encode())
        id_lines = [line for line in read_stream(connection, "third").splitlines() if line.startswith("id: ")]
    assert id_lines == [f"id: {number}" for number in range(first, 4)]


@pytest.mark.parametrize(
    "query", ["?after=x", "?after=-1", "?after=1&after=2", "?kind=none", "?limits=1", f"?after={'9' * 30}"]
)
def test_a_stream_refuses_what_the_list_refuses(site: Site, query: str) -> None:
    answers = [site.ask("GET", f"/events{query}", headers={"Accept": kind}) for kind in ("*/*", "text/event-stream")]
    assert [status for status, _, _ in answers] == [400, 400]
    assert answers[0][2] == answers[1][2]
