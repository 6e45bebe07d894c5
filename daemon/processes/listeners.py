"""Listeners: the sockets that all HTTP workers share, so that queued connections survive the death of a worker."""

import socket
from collections.abc import Collection
from pathlib import Path

from retraind.daemon.core.settings import Server
from retraind.daemon.processes import sockets
from retraind.daemon.processes.unix_socket import UnixListener


class Listeners:
    """A TCP socket, a Unix socket below `root`, or both, by the settings; raises PortTaken.

    `ours`: pids of the workers of a killed daemon. They keep getting the connections of addresses where they listen
    until `take_over`.
    """

    def __init__(self, root: Path, server: Server, ours: Collection[int]) -> None:
        self._tcp = sockets.bind(server.host, server.port, ours=ours) if server.host else None
        self._unix = UnixListener(root / server.unix_socket, ours=ours) if server.unix_socket else None

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port; None without a TCP socket."""
        return self._tcp.getsockname()[:2] if self._tcp else None

    @property
    def fds(self) -> list[int]:
        """The descriptors that a worker inherits."""
        return [listener.fileno() for listener in self._sockets()]

    def take_over(self) -> None:
        """Direct new connections here, and no longer to the sockets of a killed daemon."""
        if self._tcp:
            sockets.take_new_connections(self._tcp)
        if self._unix:
            self._unix.show()

    def refuse_new(self) -> None:
        """Refuse new connections, so that the workers can empty the queue."""
        if self._tcp:
            sockets.refuse_new(self._tcp)
        if self._unix:
            self._unix.hide()

    def close(self) -> None:
        """Close our descriptors; a worker that still runs has its own."""
        for listener in self._sockets():
            listener.close()

    def _sockets(self) -> list[socket.socket]:
        return [listener for listener in (self._tcp, self._unix.socket if self._unix else None) if listener]
