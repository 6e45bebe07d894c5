"""Between a journal and its server: what is said can be lost on the way."""

import socket
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.postgres import Postgres


class Relay:
    """Between a journal and its server: passes on all that is said, until `cut` says which commit is to have no answer."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        self._server = str(server.folder / ".s.PGSQL.5432")
        self.address = folder / "relay"
        self.address.mkdir()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.address / ".s.PGSQL.5432"))
        self._listener.listen()
        self.cut: str | None = None
        """`before`: the next COMMIT is not passed on; `after`: it is, and its answer is not."""
        self.closed_until = 0.0
        self.down_seconds = 0.0
        threading.Thread(target=self._accept, daemon=True, name="Dummy-relay").start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if time.monotonic() < self.closed_until:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                for work in (partial(self._ask, client, server), partial(self._answer, server, client)):
                    threading.Thread(target=work, daemon=True, name="Dummy-relay").start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while said := client.recv(65536):
                if self.cut and b"COMMIT" in said:
                    cut, self.cut = self.cut, None
                    self.closed_until = time.monotonic() + self.down_seconds
                    client.shutdown(socket.SHUT_RDWR)
                    if cut == "after":
                        server.sendall(said)
                    break
                server.sendall(said)
        client.close()
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)  # it does what it was told before it ends

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while said := server.recv(65536):
                client.sendall(said)

    def close(self) -> None:
        self._listener.close()
