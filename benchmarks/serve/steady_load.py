"""A load at a constant rate in the background (`open_loop.c`), with a record of each answer: its version, worker and content."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.harness import ROW
from benchmarks.serve.serve_open import SOURCE, Opened, compiled, opened, request

RECORD = np.dtype(
    [
        ("due", "i8"), ("answered", "i8"), ("status", "i4"), ("header", "i4"), ("body", "i4"), ("unused", "i4"),
        ("worker", "u8"), ("serial", "u8"), ("content", "u8"),
    ]
)  # fmt: skip
"""As `answer_records.h` has it; times are nanoseconds of CLOCK_MONOTONIC."""

MOST_SECONDS = 3600.0

REASONS = {0: "closed by the server", -1: "no answer"}


@dataclass(frozen=True)
class Answers:
    """What came of a load."""

    figures: Opened
    seconds: float
    records: npt.NDArray[Any]
    """A RECORD of each request, sorted by the time of its answer."""

    @property
    def good(self) -> npt.NDArray[Any]:
        """The records of requests with status 200."""
        good: npt.NDArray[Any] = self.records[self.records["status"] == 200]
        return good

    @property
    def failed(self) -> Counter[str]:
        """Reasons of failures and their numbers."""
        statuses = self.records["status"][self.records["status"] != 200].tolist()
        return Counter(REASONS.get(status, f"status {status}") for status in statuses)

    @property
    def unclear(self) -> int:
        """Number of answers that do not name one version, the same in head and body."""
        good = self.good
        return int(np.count_nonzero((good["body"] < 1) | (good["body"] != good["header"])))

    @property
    def mixed(self) -> int:
        """Versions in whose name more than one model has answered: the row is always the same."""
        pairs = np.unique(self.good[["body", "content"]])
        return len(pairs) - len(np.unique(pairs["body"]))

    @property
    def slowest(self) -> float:
        """The longest latency, in seconds."""
        return float((self.good["answered"] - self.good["due"]).max()) / 1e9

    @property
    def ids(self) -> list[str]:
        """The prediction ids."""
        good = self.good
        pairs = zip(good["worker"].tolist(), good["serial"].tolist(), strict=True)
        return [f"{worker:012x}-{serial:x}" for worker, serial in pairs]

    def first(self, version: int, since: float, until: float) -> Sequence[float]:
        """When each worker that answered in a span first did so with this version (all wall clock); inf: it did not."""
        shift = time.time() - time.monotonic()
        begin, end = (int((moment - shift) * 1e9) for moment in (since, until))
        low, high = np.searchsorted(self.records["answered"], (begin, end))
        span = self.records[low:high]
        moments = []
        for worker in np.unique(span["worker"][span["status"] == 200]):
            named = span["answered"][(span["worker"] == worker) & (span["body"] == version)]
            moments.append(named[0] / 1e9 + shift if len(named) else float("inf"))
        return moments


@contextmanager
def loading(port: int, rate: float, folder: Path) -> Iterator[list[Answers]]:
    """Predict until the end of the block; then the list has the answers."""
    records, done = folder / "records", list[Answers]()
    command = [str(compiled(folder)), str(port), str(rate), f"{MOST_SECONDS:g}", str(records)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(request(port, list(ROW)))
    process.stdin.close()
    try:
        yield done
    finally:
        process.terminate()
        assert process.stdout is not None
        text = process.stdout.read()
        process.wait(60)
    if process.returncode:
        raise RuntimeError(f"{SOURCE.name} ended with {process.returncode}")
    figures = orjson.loads(text)
    rows = np.fromfile(records, RECORD)
    done.append(Answers(opened(round(rate), figures), figures["seconds"], rows[np.argsort(rows["answered"])]))
