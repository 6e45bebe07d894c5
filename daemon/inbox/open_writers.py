"""Open writers: whether a program still writes a file, as far as the kernel knows."""

import errno
import fcntl
import signal


def is_written(fd: int) -> bool | None:
    """Whether some process has the file open for writing: the kernel then gives no read lease (fcntl(2)).

    None if the kernel can't say: on network file systems, and for files of other users.
    """
    try:
        # If a program opens the file for writing while we hold the lease, the kernel sends us a signal. The one of F_SETSIG is
        # ignored unless a process asks for it; SIGIO, the default, would end the process.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    return False
