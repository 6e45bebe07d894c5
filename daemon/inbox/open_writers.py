"""Open writers: whether a program still has a file open for writing, as far as the kernel knows."""

import errno
import fcntl
import signal


def is_written(fd: int) -> bool | None:
    """Whether a process has the file open for writing: if so, the kernel gives no read lease (fcntl(2)).

    None if the kernel can't say: on network file systems, and for files of other users.
    """
    try:
        # If a program opens the file for writing while we hold the lease, the kernel sends us a signal. The signal set
        # by F_SETSIG is ignored by default; SIGIO, the default for leases, would end the process.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    return False
