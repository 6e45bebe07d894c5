"""Receivers of notices: a real HTTP server and a real SMTP server, on ports of this machine."""

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

KEY = "a-key-of-the-tests-0123456789"


@dataclass
class Received:
    """One request: its path, headers (small letters) and body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """What an HTTP server got, and how it answers."""

    port: int = 0
    status: int = 204
    location: str = ""
    requests: list[Received] = field(default_factory=list)
    """Those that it has answered with 2xx."""
    refused: list[Received] = field(default_factory=list)
    arrived: int = 0
    """Requests that have arrived, answered or not."""
    holds: threading.Event = field(default_factory=threading.Event)
    """Answers wait for it; set at the beginning."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def http_receiver(port: int = 0) -> Iterator[Receiver]:
    """An HTTP server in a thread."""
    receiver = Receiver()
    receiver.holds.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.arrived += 1
            receiver.holds.wait(30)
            got = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            (receiver.requests if receiver.status < 300 else receiver.refused).append(got)
            self.send_response(receiver.status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", port), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.holds.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mailbox:
    """What an SMTP server got."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)


class _Smtp(socketserver.StreamRequestHandler):
    """RFC 5321, as far as a client without TLS needs it."""

    mailbox: ClassVar[Mailbox]

    def handle(self) -> None:
        self._say(220, "test")
        while line := self.rfile.readline():
            verb = line.split()[0].upper().decode() if line.split() else ""
            if verb == "DATA":
                self._say(354, "go on")
                self._data()
            elif verb == "QUIT":
                self._say(221, "bye")
                return
            self._say(250, "ok")

    def _data(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.mailbox.mails.append(email.message_from_bytes(b"".join(lines), policy=email.policy.default))

    def _say(self, code: int, text: str) -> None:
        self.wfile.write(f"{code} {text}\r\n".encode())


@contextmanager
def smtp_receiver() -> Iterator[Mailbox]:
    """An SMTP server in a thread."""
    mailbox = Mailbox()
    handler = type("Handler", (_Smtp,), {"mailbox": mailbox})

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), handler) as server:
        mailbox.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield mailbox
        finally:
            server.shutdown()
            thread.join()
