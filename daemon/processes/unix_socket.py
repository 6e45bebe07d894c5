"""A listening Unix socket at a path: shown once it is ready, in one rename, and never taken from a program that answers there.

A file at the path is replaced only if it is a socket without a listener.
"""

import contextlib
import os
import re
import socket
import stat
import zlib
from collections.abc import Collection
from pathlib import Path

from daemon.core.errors import PortTaken
from daemon.processes.sockets import open_sockets

BACKLOG = 1024
LONGEST = 107
"""Bytes of a path that a client can name: sun_path of unix(7), less its end."""

MODE = 0o660
"""Who may write to the socket's file may connect."""


class UnixListener:
    """A socket bound under a hidden name beside `path`, until `show`; raises PortTaken.

    Where workers of a killed daemon, with the pids `ours`, listen for it, the path stays theirs until then.
    """

    def __init__(self, path: Path, *, ours: Collection[int] = ()) -> None:
        self._path = path
        self._mark: tuple[int, int] | None = None
        beside = _held(path, ours)
        if not beside:
            _check_free(path)
        self._hidden = path.with_name(f".{_mark(path)}-{os.getpid()}.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if len(os.fsencode(path)) > LONGEST:
                raise OSError(f"the path is longer than {LONGEST} bytes")
            self._hidden.unlink(missing_ok=True)
            self.socket.bind(str(self._hidden))
            self._hidden.chmod(MODE)
        except OSError as error:
            self.socket.close()
            hint = "Set server.unix_socket to a short path in a folder that exists and is ours."
            raise PortTaken(f"Can't listen at {path}: {error}.", hint=hint) from None
        self.socket.setblocking(False)
        if not beside:
            self.show()

    def show(self) -> None:
        """Listen, and be what the path names: from now on all new connections come here."""
        if self._mark is None:
            self.socket.listen(BACKLOG)
            status = self._hidden.stat()
            self._mark = status.st_dev, status.st_ino
            self._hidden.rename(self._path)

    def hide(self) -> None:
        """Remove the path, so that no new client comes; a socket of another program that is there by now stays."""
        with contextlib.suppress(FileNotFoundError):
            self._hidden.unlink()
        with contextlib.suppress(FileNotFoundError):
            status = self._path.lstat()
            if (status.st_dev, status.st_ino) == self._mark:
                self._path.unlink()


def _mark(path: Path) -> str:
    """What stands for the name of a path in the hidden one, which has to be short."""
    return f"{zlib.crc32(os.fsencode(path.name)) & 0xFFFF:04x}"


def _held(path: Path, pids: Collection[int]) -> bool:
    """Whether these processes have a socket open that was bound for `path`, by /proc/net/unix (proc(5)).

    It tells the name under which a socket was bound, not where that was moved. An older release left the mark out.
    """
    if not pids:
        return False
    bound = re.compile(rf"\.(?:{_mark(path)}-)?\d+\.sock")
    lines = (line.split(maxsplit=7) for line in Path("/proc/net/unix").read_text(errors="replace").splitlines())
    names = {fields[6]: Path(fields[7]) for fields in lines if len(fields) == 8}
    mine = (names[inode] for pid in pids for inode in open_sockets(pid) if inode in names)
    return any(one.parent == path.parent and bound.fullmatch(one.name) for one in mine)


def _check_free(path: Path) -> None:
    """Raise PortTaken unless `path` is free, or is a socket without a listener."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise PortTaken(f"Can't listen at {path}: the file there is not a socket.", hint="Choose another path.")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return
    except OSError as error:  # a full queue, a socket for datagrams, one of another user
        raise PortTaken(
            f"Can't listen at {path}: {error}.", hint="Stop the program that listens there, or choose another path."
        ) from None
    raise PortTaken(f"Can't listen at {path}: another program answers there.", hint="Stop it, or choose another path.")
