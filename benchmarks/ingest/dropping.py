"""Dropping many files at once, waiting until the journal says committed, and what the processes used meanwhile."""

import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.harness import Service
from retraind.daemon.records import query

PATIENCE = 3600.0
"""Seconds for the largest drop; a service that ends is noticed at once."""


@dataclass(frozen=True)
class Timing:
    """Moments of one round of drops, wall clock in seconds: by our clock, then by the journal (exact to 1 ms)."""

    renamed: float
    """Before the first rename into the inbox."""
    last_renamed: float
    settled: float
    """When the first of them was found settled."""
    committed: float
    """When the last of their batches was committed."""
    batches: int
    cpu: float
    """Processor time of the daemon in between, which does not depend on what else the machine does."""

    @property
    def wall(self) -> float:
        """Seconds from the first rename until all are committed."""
        return self.committed - self.renamed

    @property
    def work(self) -> float:
        """Seconds from the first drop that was found settled until all are committed."""
        return self.committed - self.settled


def drop(service: Service, folder: Path, pause: float = 0.05) -> Timing:
    """Rename all files of `folder`, on the inbox's file system, into the inbox; wait until all are committed.

    The journal is asked every `pause` seconds.
    """
    paths = sorted(folder.iterdir())
    after = ask(service, "SELECT coalesce(max(id), 0) FROM drops")
    renamed, used = time.time(), cpu_seconds(service.pid)
    for path in paths:
        path.rename(service.home.inbox / path.name)
    last_renamed = time.time()
    service.wait_for("all of it committed", lambda: decided(service, after, len(paths)), PATIENCE, pause)
    return Timing(renamed, last_renamed, *moments(service, after), cpu_seconds(service.pid) - used)


def decided(service: Service, after: int, count: int) -> bool | None:
    """True once `count` drops are committed after the one with the id `after`."""
    refused = ask(service, f"SELECT count(*) FROM drops WHERE id > {after} AND state <> 'accepted'")
    if refused:
        raise RuntimeError(f"{refused} drops were not accepted: the benchmark has made bad files.")
    done = ask(
        service,
        f"SELECT count(*) FROM drops WHERE id > {after}"
        " AND batch <= (SELECT max(seq) FROM batches WHERE state = 'committed')",
    )
    return True if done == count else None


def moments(service: Service, after: int) -> tuple[float, float, int]:
    """When the first of the drops after an id was settled, when the last was committed, and their batches."""
    [row] = query.ask(
        service.home.journal,
        "SELECT min(d.settled_at) AS settled, max(b.committed_at) AS committed, count(DISTINCT b.seq) AS batches"
        " FROM drops d JOIN batches b ON b.seq = d.batch WHERE d.id > ?",
        after,
    )
    return _seconds(row["settled"]), _seconds(row["committed"]), row["batches"]


def ask(service: Service, words: str) -> int:
    """The one number that a query to the journal gives."""
    number = query.number(service.home.journal, words)
    assert number is not None, words
    return number


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# Processes


def peak_bytes(pid: int) -> int:
    """The most memory a process has had resident so far (VmHWM)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def resident_bytes(pid: int) -> int:
    """The memory a process has resident now (VmRSS)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
