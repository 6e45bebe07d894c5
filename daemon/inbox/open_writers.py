"""Whether somebody still writes a file, as far as the kernel tells."""

import errno
import fcntl
import signal


def is_written(fd: int) -> bool | None:
    """Whether some process has the file open for writing: the kernel then gives no read lease (fcntl(2)).

    None where that can't be told: network file systems, and files of other users.
    """
    try:
        # Who opens the file for writing while the lease is held has us told by a signal. That of F_SETSIG is ignored unless
        # a process asks for it; SIGIO, which it would be otherwise, ends one.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    return False
