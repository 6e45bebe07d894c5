"""retraind.web.auth.stream_limits: a client with many streams loses its oldest, and a revoked token ends its streams."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from service import wait_until
from sites import Site

from retraind.daemon.access import tokens
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server
from retraind.web.auth.access import LOCAL, Access, Caller
from retraind.web.auth.stream_limits import EACH, MOST, Streams
from retraind.web.http.problems import Problem

READ = frozenset({Scope.READ})


class Listeners:
    """Connections that have asked for events and read nothing more than the beginning."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stack = ExitStack()

    def listen(self, secret: str = "") -> socket.socket:
        """Another one, with a token or as a program of this machine."""
        connection = self._stack.enter_context(socket.create_connection(("127.0.0.1", self._site.port), timeout=10))
        sender = f"Via: proxy\r\nAuthorization: Bearer {secret}\r\n" if secret else ""
        connection.sendall(
            f"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{sender}\r\n".encode()
        )
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        return connection

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def listeners(own: Site) -> Iterator[Listeners]:
    streams = Listeners(own)
    yield streams
    streams.close()


def ended(connection: socket.socket) -> bool:
    """Whether the server has ended a stream: by the last of its chunks, after which the connection may take another request."""
    connection.settimeout(0.05)
    text = b""
    try:
        while part := connection.recv(65_536, socket.MSG_PEEK):
            if part == text:
                return part.endswith(b"\r\n0\r\n\r\n")
            text = part
    except TimeoutError:
        return False
    return True


def test_silent_listeners_block_no_other_client(own: Site, listeners: Listeners) -> None:
    """Thirty-two of one stranger, and as many of others: a page of this machine still gets its events."""
    names = ["greedy", "b", "c", "d"]
    secrets = [tokens.create(own.home, name, [Scope.READ]) for name in names]
    greedy = [listeners.listen(secrets[0]) for _ in range(MOST)]
    wait_until(lambda: sum(ended(one) for one in greedy) == MOST - EACH)
    assert not any(ended(one) for one in greedy[-EACH:]), "the oldest ended"
    others = [listeners.listen(secret) for secret in secrets[1:] for _ in range(EACH)]
    page = listeners.listen()
    wait_until(lambda: ended(greedy[-EACH]))
    assert not any(ended(one) for one in [*others, page, *greedy[-EACH + 1 :]])


def test_a_stream_ends_with_its_token(own: Site, listeners: Listeners) -> None:
    gone, kept = (listeners.listen(tokens.create(own.home, name, [Scope.READ])) for name in ("gone", "kept"))
    local = listeners.listen()
    tokens.revoke(own.home, "gone")
    wait_until(lambda: ended(gone), 5)
    assert not ended(kept)
    assert not ended(local)


def test_with_as_many_clients_as_streams_no_more_are_taken(home: Home) -> None:
    streams = Streams(Access(Server(), home))
    first = [streams.begin(Caller(READ, "anonymous", f"192.0.2.{number}"), "") for number in range(MOST)]
    with pytest.raises(Problem):
        streams.begin(LOCAL, "127.0.0.1")
    streams.leave(first[0])
    streams.leave(first[0])
    assert len(streams) == MOST - 1
    streams.begin(LOCAL, "127.0.0.1")
    assert not any(stream.ended.is_set() for stream in first)


def test_two_clients_share_what_there_is(home: Home) -> None:
    streams = Streams(Access(Server(), home))
    clients = [Caller(READ, str(number), f"token {number}") for number in range(5)]
    opened = [streams.begin(clients[number % 5], "") for number in range(MOST * 5)]
    left = [sum(not one.ended.is_set() for one in opened if one.caller is client) for client in clients]
    assert sum(left) == len(streams) == MOST
    assert min(left) >= MOST // 5
