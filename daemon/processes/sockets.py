"""The listening sockets, and how one is given up without a connection being lost.

Closing a socket resets what the kernel has queued for it. So a socket that goes first gets nothing new, then is emptied.
"""

import contextlib
import ctypes
import socket
import struct
from collections.abc import Collection
from pathlib import Path

from daemon.core.errors import PortTaken

BACKLOG = 1024
ATTACH_FILTER, ATTACH_REUSEPORT_FILTER = 26, 51
"""SO_ATTACH_FILTER and SO_ATTACH_REUSEPORT_CBPF of asm-generic/socket.h; both take a struct sock_fprog, see socket(7)."""

DROP_NEW = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
"""Classic BPF on the TCP header: load the flags; with SYN drop the packet, else take it."""


def bind(host: str, port: int, *, ours: Collection[int] = ()) -> socket.socket:
    """Bind a TCP socket; raises PortTaken. SO_REUSEPORT lets us bind beside the workers of a killed daemon, with the pids `ours`.

    Where these listen, and they alone, only the first new one listens, once it can answer: until then all connections go to
    the old ones.
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
            listener.listen(BACKLOG)  # who connects before the first worker answers waits instead of being refused
    except OSError as error:
        listener.close()
        hint = "Stop it, or set server.port to a free one (`--port 0` finds one)."
        raise PortTaken(f"Can't listen on {host}:{port}: {error}.", hint=hint) from None
    listener.setblocking(False)
    return listener


def refuse_new(listener: socket.socket) -> None:
    """Let no new connection begin here, so that what is queued can be emptied: a client tries again after a second.

    By then the socket is closed, and the client is refused or reaches the next daemon.
    """
    _attach(listener, ATTACH_FILTER, DROP_NEW)


def take_new_connections(listener: socket.socket) -> None:
    """Let new connections go to this socket, the last to listen, and none to those beside it, which are about to be closed."""
    with contextlib.suppress(OSError):  # no /proc: the kernel goes on choosing
        last = len(_listening(listener)) - 1
        # Once the others are gone the number is that of no socket, and the kernel chooses as if there were no filter.
        if last > 0:
            _attach(listener, ATTACH_REUSEPORT_FILTER, ((0x06, 0, 0, last),))


def _attach(listener: socket.socket, option: int, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    # Without it (a kernel that has no such filter) a connection is lost now and then.
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("HP", len(program), ctypes.addressof(code)))


def _listening(listener: socket.socket) -> set[str]:
    """The inodes of the sockets that listen at exactly this one's address, by /proc/net/tcp (proc(5)).

    The words of an address stand there in the machine's order.
    """
    host, port = listener.getsockname()[:2]
    packed = socket.inet_pton(listener.family, host)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    local = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    table = Path("/proc/net/tcp6" if listener.family == socket.AF_INET6 else "/proc/net/tcp")
    lines = (line.split() for line in table.read_text().splitlines())
    return {fields[9] for fields in lines if fields[1] == local and fields[3] == "0A"}


def _hold(pids: Collection[int], sockets: set[str]) -> bool:
    """Whether there are such sockets (inodes), and these processes have all of them open."""
    return bool(sockets) and sockets <= {inode for pid in pids for inode in open_sockets(pid)}


def open_sockets(pid: int) -> set[str]:
    """The inodes of the sockets that a process of ours has open; none if it has ended."""
    inodes = set()
    with contextlib.suppress(FileNotFoundError, PermissionError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                inodes.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
    return inodes


def reachable(host: str) -> str:
    """Where a client on this machine reaches a listener: an address that means every one is asked on loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to


def _answers(host: str, port: int) -> bool:
    # Two processes of one user may both bind a port with SO_REUSEPORT, so a failing bind alone would not tell.
    with contextlib.suppress(OSError), socket.create_connection((reachable(host), port), timeout=1):
        return True
    return False
