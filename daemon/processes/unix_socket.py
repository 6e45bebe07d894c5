"""A listening Unix socket at a path: one rename shows it when it is ready, and it never replaces one that answers.

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

from retraind.daemon.core.errors import PortTaken
from retraind.daemon.processes.sockets import open_sockets

BACKLOG = 1024
LONGEST = 107
"""Maximum bytes of a path that a client can name: sun_path of unix(7), less the final zero."""

MODE = 0o660
"""Mode of the socket: users that may write to its file may connect."""


class UnixListener:
    """A socket bound under a hidden name beside `path` until `show`; raises PortTaken.

    If workers of a killed daemon (pids `ours`) listen at `path`, they keep it until then.
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
            hint = "Set server.unix_socket to a short path in an existing folder of this user."
            raise PortTaken(f"Can't listen at {path}: {error}.", hint=hint) from None
        self.socket.setblocking(False)
        if not beside:
            self.show()

    def show(self) -> None:
        """Listen, and take the path: from now on all new connections come here."""
        if self._mark is None:
            self.socket.listen(BACKLOG)
            status = self._hidden.stat()
            self._mark = status.st_dev, status.st_ino
            self._hidden.rename(self._path)

    def hide(self) -> None:
        """Remove the path, so that no new client connects; another program's socket there stays."""
        with contextlib.suppress(FileNotFoundError):
            self._hidden.unlink()
        with contextlib.suppress(FileNotFoundError):
            status = self._path.lstat()
            if (status.st_dev, status.st_ino) == self._mark:
                self._path.unlink()


def _mark(path: Path) -> str:
    """A short mark of a path's name, for use in the hidden name."""
    return f"{zlib.crc32(os.fsencode(path.name)) & 0xFFFF:04x}"


def _held(path: Path, pids: Collection[int]) -> bool:
    """Whether these processes have a socket open that was bound for `path`, from /proc/net/unix (proc(5)).

    That file shows the name under which a socket was bound, not its later name. Older releases left the mark out.
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
