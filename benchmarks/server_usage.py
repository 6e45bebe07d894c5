"""What a server of several processes takes of the machine: time of the processor, and memory."""

import contextlib
import os
from pathlib import Path

from retraind.daemon.core import process_table

TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """CPU time of a process, of its descendants, and of those that have ended."""
    return sum(map(_seconds, _family(pid)))


def memory(pid: int) -> int:
    """Bytes of a process and its descendants; a page that several share counts once (Pss)."""
    return sum(map(_shared_once, _family(pid)))


def _family(pid: int) -> list[int]:
    return [pid, *(process.pid for process in process_table.descendants(pid))]


def _seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS  # utime, stime, and those of children that were waited for
    return 0.0


def _shared_once(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
