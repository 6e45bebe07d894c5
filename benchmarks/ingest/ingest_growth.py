"""What one small batch costs when there are many already, and what DVC's cache then holds."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import inputs
from benchmarks.figures import ratio, spread
from benchmarks.harness import Service
from benchmarks.ingest.dropping import Timing, ask, drop
from benchmarks.ingest.growth import grow
from benchmarks.ingest.ingest_reading import reading
from benchmarks.ingest.ingest_small import QUIET, ROWS

SETTINGS = QUIET | {"inbox__batch_drops": 1}
"""Every file a batch."""

WARMING = 3
"""Drops before the measured ones: DVC's own caches are new after a start."""

PORTION = 16
"""Files that are dropped at once while a home is filled: merging waits while more are there."""

FLAT, CACHE = 1.5, 4.0
"""What the project promises: the slowest stage by the first, DVC's cache by the rows' segments."""


@dataclass
class Stage:
    """So many batches, and how they came to be there; the timings of single small drops; the daemon's start (seconds)."""

    service: Service
    batches: int
    how: str
    start: float = 0.0
    timings: list[Timing] = field(default_factory=list)
    reading: list[list[str]] = field(default_factory=list)
    live: int = 0
    cache_bytes: int = 0
    accepted_bytes: int = 0
    live_bytes: int = 0


@contextmanager
def stages(ingested: Sequence[int], constructed: int, repeat: int) -> Iterator[list[Stage]]:
    """Homes with so many batches, the last one `constructed` on a copy of the one before; `repeat` drops into each.

    The drops go round, so that whatever else the machine does falls on every stage. Half a million files are removed
    at the end, which takes minutes: print before.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retraind-benchmark-")))
        measured = []
        for number in ingested:
            measured.append(Stage(_service(folder / str(number), stack), number, "ingested"))
            measured[-1].service.start()
            measured[-1].service.wait_started()
            fill(measured[-1].service, number - _batches(measured[-1].service))
            measured[-1].service.terminate()
        last = Stage(_service(folder / str(constructed), stack), constructed, "constructed")
        shutil.copytree(measured[-1].service.home.root, last.service.home.root)
        grow(last.service.home, constructed - _batches(last.service))
        measured.append(last)
        for stage in measured:
            stage.start = _start(stage.service)
        for turn in range(WARMING + repeat):
            for stage in measured:
                _drop_one(stage, turn)
        for stage in measured:
            stage.service.terminate()
            _weigh(stage)
            stage.reading = reading(stage.service.home, folder, repeat=5)
        yield measured


def _service(folder: Path, stack: ExitStack) -> Service:
    folder.mkdir()
    service = Service(folder, **SETTINGS)
    stack.callback(service.close)
    return service


def _start(service: Service) -> float:
    """Seconds until the daemon says that it has started."""
    known = service.last_event()
    started = service.start()
    service.wait_for("the daemon's start", lambda: service.events("started", known) or None)
    return time.monotonic() - started


def fill(service: Service, count: int) -> None:
    """Let the service ingest `count` small files, one batch each, and merge in between."""
    for start in range(0, count, PORTION):
        staging = service.home.root.parent / "filling"
        inputs.small_files(staging, min(PORTION, count - start), ROWS, seed=start)
        drop(service, staging)
        staging.rmdir()


def _drop_one(stage: Stage, turn: int) -> None:
    staging = stage.service.home.root.parent / "single"
    inputs.small_files(staging, 1, ROWS, seed=1_000_000 + turn)
    timing = drop(stage.service, staging, pause=0.002)
    staging.rmdir()
    if turn >= WARMING:
        stage.timings.append(timing)


def _weigh(stage: Stage) -> None:
    cache = stage.service.home.data / ".dvc/cache/files/md5"
    stage.cache_bytes = sum(path.stat().st_size for path in cache.glob("*/*"))
    accepted = "SELECT sum(bytes) FROM segments JOIN batches ON seq = born WHERE kind = 'drops'"
    stage.accepted_bytes = ask(stage.service, accepted)
    stage.live_bytes = ask(stage.service, "SELECT sum(bytes) FROM segments WHERE died IS NULL")
    stage.live = ask(stage.service, "SELECT count(*) FROM segments WHERE died IS NULL")


def _batches(service: Service) -> int:
    return ask(service, "SELECT count(*) FROM batches WHERE kind = 'drops' AND state = 'committed'")


COLUMNS = ["earlier batches", "segments", "median, s", "least", "most", "from rename, s", "to the first", "start, s"]


def table(found: list[Stage]) -> list[list[str]]:
    """Rows: seconds from settled to committed of one small batch at each stage."""
    first = statistics.median(one.work for one in found[0].timings)
    rows = []
    for stage in found:
        work = [one.work for one in stage.timings]
        wall = statistics.median(one.wall for one in stage.timings)
        times = [*spread(work), f"{wall:.3f}", ratio(statistics.median(work), first), f"{stage.start:.1f}"]
        rows.append([f"{stage.batches} {stage.how}", str(stage.live), *times])
    return [*rows, ["target", "", "", "", "", "", f"<= {FLAT}x", ""]]


CACHE_COLUMNS = ["earlier batches", "DVC cache, MB", "/ segments as accepted", "/ live segments"]


def cache_table(found: list[Stage]) -> list[list[str]]:
    """Rows: bytes in DVC's cache at each stage, divided by what was accepted and by what is live."""
    rows = [
        [
            f"{stage.batches} {stage.how}",
            f"{stage.cache_bytes / 1e6:.2f}",
            ratio(stage.cache_bytes, stage.accepted_bytes),
            ratio(stage.cache_bytes, stage.live_bytes),
        ]
        for stage in found
    ]
    return [*rows, ["target", "", f"<= {CACHE:g}x", ""]]
