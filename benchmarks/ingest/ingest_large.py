"""One large file, then many of them at once: speed from settled to committed, and the daemon's memory."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet

from benchmarks import inputs
from benchmarks.harness import Service
from benchmarks.ingest.dropping import Timing, drop, peak_bytes, resident_bytes
from benchmarks.ingest.ingest_reading import reading
from benchmarks.ingest.ingest_small import QUIET
from benchmarks.postgres import Postgres

MB_PER_SECOND, PEAK_BYTES = 60, 1_000_000_000
"""What the project promises."""

# One small model to begin with, so that afterwards no training falls due.
SETTINGS = QUIET | {"bootstrap": "none", "train__candidates": '["tree"]'}


@dataclass(frozen=True)
class Measured:
    """One drop of some large files: bytes, rows found missing or too many, moments, the daemon's peak so far (bytes)."""

    files: int
    bytes: int
    lacking: int
    timing: Timing
    peak: int

    @property
    def megabytes_per_second(self) -> float:
        """From the first settled file to the last commit."""
        return self.bytes / 1e6 / self.timing.work


@contextmanager
def serving(
    folder: Path, server: Postgres | None = None, settings: Mapping[str, object] | None = None
) -> Iterator[Service]:
    """A service for large files, with a model of a few of their rows; its journal is on a server, if there is one."""
    service = Service(folder, **SETTINGS, **(settings or {}))
    sample = folder / "sample.csv"
    inputs.large_file(sample, rows=300, seed=0)
    service.home.make()
    if server is not None:
        server.place(service.home)
    service.home.schema.write_bytes(inputs.WIDE_SCHEMA.dump())
    try:
        service.start()
        sample.rename(service.home.inbox / sample.name)
        service.wait_for("the first model", lambda: service.events("serving") or None, pause=0.05)
        service.wait_idle()
        yield service
    finally:
        service.close()


def measure(rows: int, many: int) -> tuple[int, list[Measured], list[list[str]]]:
    """Drop one file of `rows` rows, then `many` at once, then read them all; the first is the memory before (bytes)."""
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with serving(folder) as service:
            before = resident_bytes(service.pid)
            measured = [_drop(service, folder / "one", rows, 1), _drop(service, folder / "many", rows, many)]
        return before, measured, reading(service.home, folder, repeat=3)


def _drop(service: Service, staging: Path, rows: int, files: int) -> Measured:
    staging.mkdir()
    earlier = _rows(service)
    size = sum(
        inputs.large_file(staging / f"{staging.name}-{number}.csv", rows, seed=files + number)
        for number in range(files)
    )
    timing = drop(service, staging)
    lacking = abs(earlier + files * rows - _rows(service))
    return Measured(files, size, lacking, timing, peak_bytes(service.pid))


def _rows(service: Service) -> int:
    return sum(pyarrow.parquet.read_metadata(path).num_rows for path in inputs.objects(service.home))


def table(before: int, measured: list[Measured]) -> list[list[str]]:
    """Rows: each drop with its speed and the daemon's peak."""
    first = measured[0].peak
    rows = [["before", "", "", "", "", "", "", f"{before / 1e6:.0f}", ""]]
    for measure in measured:
        megabytes = measure.bytes / 1e6
        rows.append(
            [
                f"{measure.files} x {megabytes / measure.files:.0f} MB",
                f"{measure.timing.batches}",
                f"{measure.lacking}",
                f"{measure.timing.work:.2f}",
                f"{measure.megabytes_per_second:.1f}",
                f"{megabytes / measure.timing.wall:.1f}",
                f"{megabytes / measure.timing.cpu:.1f}",
                f"{measure.peak / 1e6:.0f}",
                f"{measure.peak / first:.2f}x",
            ]
        )
    return [*rows, ["target", "", "0", "", f">= {MB_PER_SECOND}", "", "", f"< {PEAK_BYTES / 1e6:.0f}", "about 1x"]]


COLUMNS = [
    "drop",
    "batches",
    "rows lacking",
    "settled to committed, s",
    "MB/s",
    "MB/s from rename",
    "MB per CPU s",
    "peak of the daemon, MB",
    "peak / first",
]
