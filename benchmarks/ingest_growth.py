"""What one small batch costs when there are many already, and what DVC's cache then holds."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import inputs
from benchmarks.dropping import Timing, ask, drop
from benchmarks.figures import ratio, spread
from benchmarks.growth import grow
from benchmarks.harness import Service, running
from benchmarks.ingest_reading import reading
from benchmarks.ingest_small import QUIET, ROWS

SETTINGS = QUIET | {"inbox__batch_drops": 1}
"""Every file a batch."""

WARMING = 3
"""Drops before the measured ones: DVC's own caches are new after a start."""

FLAT, CACHE = 1.5, 4.0
"""What the project promises: the slowest stage by the first, DVC's cache by the rows' segments."""


@dataclass(frozen=True)
class Stage:
    """So many batches: how they came to be there, the timings of single small drops then, and what is on the disk."""

    batches: int
    how: str
    timings: list[Timing]
    live: int
    cache_bytes: int
    accepted_bytes: int
    live_bytes: int
    start_seconds: float


def stages(real: Sequence[int], made: Sequence[int], repeat: int, folder: Path) -> tuple[list[Stage], list[list[str]]]:
    """Measure `repeat` single drops at each number of batches: `real` ones ingested, `made` ones by `grow`; and reading."""
    found = []
    with running(**SETTINGS) as service:
        for number in real:
            fill(service, number - _batches(service))
            found.append(_stage(service, "ingested", repeat, 0.0))
        for number in made:
            service.terminate()
            grow(service.home, number - _batches(service))
            started = service.start()
            service.wait_for("the daemon's start", lambda: service.events("started", service.last_event() - 1) or None)
            found.append(_stage(service, "constructed", repeat, time.monotonic() - started))
        service.terminate()
        return found, reading(service.home, folder, repeat=5)


def fill(service: Service, count: int) -> None:
    """Let the service ingest `count` small files, one batch each."""
    if count > 0:
        staging = service.home.root.parent / "filling"
        inputs.small_files(staging, count, ROWS, seed=_batches(service))
        drop(service, staging)
        staging.rmdir()


def _stage(service: Service, how: str, repeat: int, start_seconds: float) -> Stage:
    batches, timings = _batches(service), []
    for number in range(WARMING + repeat):
        staging = service.home.root.parent / "single"
        inputs.small_files(staging, 1, ROWS, seed=1_000_000 + batches + number)
        timings.append(drop(service, staging, pause=0.002))
        staging.rmdir()
    cache = service.home.data / ".dvc/cache/files/md5"
    return Stage(
        batches,
        how,
        timings[WARMING:],
        ask(service, "SELECT count(*) FROM segments WHERE died IS NULL"),
        sum(path.stat().st_size for path in cache.glob("*/*")),
        ask(service, "SELECT sum(bytes) FROM segments JOIN batches ON seq = born WHERE kind = 'drops'"),
        ask(service, "SELECT sum(bytes) FROM segments WHERE died IS NULL"),
        start_seconds,
    )


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
        start = f"{stage.start_seconds:.1f}" if stage.start_seconds else ""
        times = [*spread(work), f"{wall:.3f}", ratio(statistics.median(work), first), start]
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
