"""Listening sockets, and how to close one without losing a connection.

Closing a socket resets the connections that the kernel has queued for it. So the socket first stops getting new ones,
and its queue is emptied.
"""

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path

from retraind.daemon.core.errors import BadSettings, PortTaken, RetraindError

BACKLOG = 1024
ATTACH_FILTER, ATTACH_REUSEPORT_FILTER = 26, 51
"""SO_ATTACH_FILTER and SO_ATTACH_REUSEPORT_CBPF of asm-generic/socket.h; both take a struct sock_fprog, see socket(7)."""

DROP_NEW = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
"""Classic BPF on the TCP header: load the flags; with SYN drop the packet, else take it."""


def bind(host: str, port: int, *, ours: Collection[int] = ()) -> socket.socket:
    """Bind a TCP socket; raises PortTaken, or BadSettings for an address that this machine or this user does not have.

    SO_REUSEPORT lets us bind beside the workers of a killed daemon, which have the pids `ours`. If only these listen at
    the address, the new socket listens once the first new worker can answer. Until then all connections go to the old
    workers.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
        beside = _hold(ours, _listening(listener)) if port and ours else False
        if port and not beside and _answers(host, port):
            raise OSError("another program answers there")
        if not beside:
            listener.listen(
                BACKLOG
            )  # clients that connect before the first worker answers wait instead of being refused
    except OSError as error:
        listener.close()
        raise _refusal(host, port, error) from None
    listener.setblocking(False)
    return listener


def _refusal(host: str, port: int, error: OSError) -> RetraindError:
    """The error for an address that can't be listened on: what is wrong with it, and which setting to change."""
    if isinstance(error, socket.gaierror):
        return BadSettings(
            f"server.host = {host!r} can't be resolved: {error.strerror}.", hint="Name an address of this machine."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        hint = "Take one of its own, such as 127.0.0.1, or 0.0.0.0 for all of them."
        return BadSettings(f"server.host = {host!r} is not an address of this machine.", hint=hint)
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = "Take one above 1023, and let a proxy listen on the other (docs/operations.md)."
        return BadSettings(f"server.port = {port} may not be used by user {os.geteuid()}.", hint=hint)
    hint = "Stop it, or set server.port to a free one (`--port 0` finds one)."
    reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return PortTaken(f"Can't listen on {host}:{port}: {reason}.", hint=hint)


def refuse_new(listener: socket.socket) -> None:
    """Drop new connections, so that the queue can be emptied: a client tries again after a second.

    By then the socket is closed, and the client is refused or reaches the next daemon.
    """
    _attach(listener, ATTACH_FILTER, DROP_NEW)


def take_new_connections(listener: socket.socket) -> None:
    """Direct new connections to this socket, the last to listen, and none to the older sockets, which will soon close."""
    with contextlib.suppress(OSError):  # no /proc: the kernel keeps choosing
        last = len(_listening(listener)) - 1
        # Once the others are gone no socket has this number, and the kernel chooses as if there were no filter.
        if last > 0:
            _attach(listener, ATTACH_REUSEPORT_FILTER, ((0x06, 0, 0, last),))


def _attach(listener: socket.socket, option: int, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    # Without it (on a kernel without such a filter) a connection is lost now and then.
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("HP", len(program), ctypes.addressof(code)))


def _listening(listener: socket.socket) -> set[str]:
    """The inodes of the sockets that listen at exactly this socket's address, from /proc/net/tcp (proc(5)).

    That file has the words of an address in the machine's byte order.
    """
    host, port = listener.getsockname()[:2]
    packed = socket.inet_pton(listener.family, host)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    local = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    table = Path("/proc/net/tcp6" if listener.family == socket.AF_INET6 else "/proc/net/tcp")
    lines = (line.split() for line in table.read_text().splitlines())
    return {fields[9] for fields in lines if fields[1] == local and fields[3] == "0A"}


def _hold(pids: Collection[int], sockets: set[str]) -> bool:
    """Whether there are such sockets (inodes), all open in these processes."""
    return bool(sockets) and sockets <= {inode for pid in pids for inode in open_sockets(pid)}


def open_sockets(pid: int) -> set[str]:
    """The inodes of the sockets that one of our processes has open; empty if it has ended."""
    inodes = set()
    with contextlib.suppress(FileNotFoundError, PermissionError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                inodes.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
    return inodes


def reachable(host: str) -> str:
    """The address at which a local client reaches a listener: loopback if it listens on all addresses."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to


def _answers(host: str, port: int) -> bool:
    # Two processes of one user may both bind a port with SO_REUSEPORT, so a successful bind alone proves nothing.
    with contextlib.suppress(OSError), socket.create_connection((reachable(host), port), timeout=1):
        return True
    return False
