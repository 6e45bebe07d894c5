"""Memory of the processes: what each has of its own, and its share of what it has in common with others (PSS)."""

import os
from collections.abc import Iterable
from pathlib import Path

from retraind.daemon.core import process_table


def by_role(workers: Iterable[int]) -> dict[str, int]:
    """Bytes of the daemon, of the HTTP workers, and of its other processes (trainer, answers to files)."""
    serving = set(workers)
    # A training runs in a child of the trainer.
    others = {process.pid for process in process_table.descendants(os.getpid())} - serving
    sizes = {"daemon": size(os.getpid()), "workers": _total(serving), "trainer": _total(others)}
    return {role: bytes_ for role, bytes_ in sizes.items() if bytes_ is not None}


def size(pid: int) -> int | None:
    """Bytes of one process; None if it is gone, or the kernel does not say."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), None)


def _total(pids: Iterable[int]) -> int | None:
    sizes = [bytes_ for pid in pids if (bytes_ := size(pid)) is not None]
    return sum(sizes) if sizes else None
