"""A tracer that counts what a process, its threads and its children do to the disk, and makes the N-th of it fail.

It uses ptrace(2) and a seccomp filter, so only the system calls of the table stop. `strace -e inject` does the same
with a counter for each thread; one counter for all is what lets N run through every change in the order it happens.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SUPPORTED = platform.machine() == "x86_64"
"""Numbers and registers below are those of this machine."""

CALLS = {
    1: "write", 18: "pwrite64", 20: "writev", 40: "sendfile", 326: "copy_file_range",
    2: "open", 257: "openat",
    82: "rename", 264: "renameat", 316: "renameat2",
    86: "link", 265: "linkat", 88: "symlink", 266: "symlinkat",
    87: "unlink", 263: "unlinkat", 84: "rmdir", 83: "mkdir", 258: "mkdirat",
    76: "truncate", 77: "ftruncate", 285: "fallocate",
    74: "fsync", 75: "fdatasync",
    90: "chmod", 91: "fchmod", 268: "fchmodat",
}  # fmt: skip
"""What changes a file system or makes a change durable."""

OPENS = {"open": 1, "openat": 2}
"""Opening counts if it may create or write: the argument with the flags."""

DESCRIPTORS = {"write": 0, "pwrite64": 0, "writev": 0, "sendfile": 0, "copy_file_range": 2, "fsync": 0, "fdatasync": 0}
"""Calls that count only on regular files: the argument with the descriptor."""

MOST_AFTER = 5000
"""A run that makes so many changes after its fault, three times those of a whole run, turns in circles: it is ended.

DVC's cache tries again without a pause while SQLite says that the disk is full; a service's watchdog ends that.
"""

SEIZE, CONT, GETREGS, SETREGS, LISTEN = 0x4206, 7, 12, 13, 0x4208
OPTIONS = 0x2 | 0x4 | 0x8 | 0x80 | 0x100000  # fork, vfork, clone, seccomp; tracees end with the tracer
EVENT_SECCOMP, EVENT_STOP = 7, 128
WALL = 0x40000000
RAX, ORIG_RAX, ARGUMENTS = 10, 15, (14, 13, 12, 7)  # places in user_regs_struct

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


@dataclass(frozen=True)
class Fault:
    """What happens at the `at`-th (from 1) of the calls named; `at` 0: nothing, they are only counted."""

    at: int = 0
    kind: Literal["kill", "once", "forever"] = "kill"
    error: int = errno.EIO
    calls: tuple[str, ...] = tuple(CALLS.values())


@dataclass
class Outcome:
    """How a traced process ended: exit code (negative: signal), the calls that counted, and whether the fault was hit."""

    code: int = 0
    calls: list[str] = field(default_factory=list)
    hit: bool = False


class Tracer:
    """Runs one function in a forked process under a fault; of calls on descriptors those on files below `folder` count."""

    def __init__(self, fault: Fault, folder: Path) -> None:
        self._fault, self._folder = fault, f"{folder}/"
        self._tracees: set[int] = set()
        self._child = 0
        self.outcome = Outcome()

    def run(self, action: Callable[[], int]) -> Outcome:
        """Fork, run `action` (its result is the exit code) under the fault, and wait for all that it started.

        The calling process must have one thread and no other children.
        """
        ready, go = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            code = 99
            try:
                os.read(ready, 1)
                _stop_at(CALLS)
                code = action()
            finally:
                os._exit(code)
        self._tracees.add(self._child)
        _ptrace(SEIZE, self._child, 0, OPTIONS)
        os.write(go, b".")
        os.close(ready)
        os.close(go)
        while self._tracees:
            self._handle(*os.waitpid(-1, WALL))
        return self.outcome

    def _handle(self, pid: int, status: int) -> None:
        if not os.WIFSTOPPED(status):
            self._tracees.discard(pid)
            if pid == self._child:
                self.outcome.code = os.waitstatus_to_exitcode(status)
            return
        self._tracees.add(pid)
        number, event = os.WSTOPSIG(status), status >> 16
        try:
            if event == EVENT_SECCOMP:
                self._judge(pid)
            if event == EVENT_STOP and number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
                _ptrace(LISTEN, pid, 0, 0)
            else:
                _ptrace(CONT, pid, 0, 0 if event else number)
        except ProcessLookupError:
            return  # killed meanwhile; its end is still to be waited for

    def _judge(self, pid: int) -> None:
        registers = (ctypes.c_ulonglong * 27)()
        _ptrace(GETREGS, pid, 0, ctypes.addressof(registers))
        name = CALLS[registers[ORIG_RAX]]
        if name not in self._fault.calls or not self._changes(pid, name, [registers[at] for at in ARGUMENTS]):
            return
        self.outcome.calls.append(name)
        count, fault = len(self.outcome.calls), self._fault
        if fault.at == 0 or count < fault.at or (count > fault.at and fault.kind != "forever"):
            return
        self.outcome.hit = True
        if fault.kind == "kill" or count > fault.at + MOST_AFTER:
            for tracee in self._tracees:
                os.kill(tracee, signal.SIGKILL)
        else:
            registers[ORIG_RAX], registers[RAX] = 2**64 - 1, 2**64 - fault.error
            _ptrace(SETREGS, pid, 0, ctypes.addressof(registers))

    def _changes(self, pid: int, name: str, arguments: list[int]) -> bool:
        """Whether a call may change the file system: none on a pipe or a log, no opening for reading."""
        if name in OPENS:
            return bool(arguments[OPENS[name]] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if name in DESCRIPTORS:
            link = Path(f"/proc/{pid}/fd/{arguments[DESCRIPTORS[name]] & 0xFFFFFFFF}")
            return str(link.readlink()).startswith(self._folder)
        return True


def _ptrace(request: int, pid: int, address: int, data: int) -> None:
    if libc.ptrace(request, pid, address, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def _stop_at(numbers: dict[int, str]) -> None:
    """Install a filter (seccomp(2)) that stops this process, and all that come from it, at these system calls."""
    program = struct.pack("=HBBI", 0x20, 0, 0, 0)  # load the number of the call
    for index, number in enumerate(numbers):
        program += struct.pack("=HBBI", 0x15, len(numbers) - index, 0, number)  # equal: jump to the last instruction
    program += struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)  # allow
    program += struct.pack("=HBBI", 0x06, 0, 0, 0x7FF00000)  # trace
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    for option, value, pointer in ((38, 1, None), (22, 2, header)):  # no new privileges; the filter
        if libc.prctl(option, ctypes.c_ulong(value), pointer, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
