"""The sum of the counters that all HTTP workers publish in `registry/workers` (`web/metrics/counters.py`)."""

import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

import orjson

from retraind.daemon.core import clock, process_table
from retraind.daemon.core.home import Home
from retraind.daemon.core.status import boot_id, is_fresh
from retraind.daemon.core.trends import latency
from retraind.daemon.core.trends.figures import Sum, added
from retraind.daemon.core.trends.position import Count

STALE_SECONDS = 5.0
"""Age of the last published counters beyond which a worker counts as ended, as in `web/metrics/counters.py`."""

TRIES = 100
"""Maximum number of reads while workers take over each other's files."""


class Published(TypedDict):
    """The part of a worker's published counters that is read here."""

    pid: int
    heartbeat: float
    boot: str
    requests: dict[str, dict[str, int]]
    predicting: NotRequired[dict[str, int]]
    buckets: list[int]
    seconds: float
    lost: int
    before_first_model: NotRequired[int]


def count(home: Home) -> Count:
    """The counters of past and running workers now; raises OSError while the files can't be read."""
    read = _published(home.workers)
    wall, steady, boot = clock.read().wall, time.monotonic(), boot_id()
    sums: dict[str, int] = {}
    durations: dict[str, int] = {}
    for published in read:
        sums = added(sums, _sums(published))
        durations = added(durations, _latency(published["buckets"]))
    running = [worker["pid"] for worker in read if _runs(worker)]
    beats = {worker["pid"]: worker["heartbeat"] for worker in read if worker["boot"] == boot}
    return Count(
        {"sums": sums, "latency": durations, "wall": wall, "steady": steady, "boot": boot, "pids": running}, beats
    )


def _published(folder: Path) -> list[Published]:
    """All files at one moment: a new worker renames the file of its predecessor, which must count once."""
    for _ in range(TRIES):
        paths = _paths(folder)
        with contextlib.suppress(FileNotFoundError):
            read = [published for path in paths if (published := _read(path)) is not None]
            if _paths(folder) == paths:
                return read
    raise OSError(f"The files in {folder} change all the time.")


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _read(path: Path) -> Published | None:
    try:
        published: Published = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return None
    return published if isinstance(published, dict) and "buckets" in published and "requests" in published else None


def _runs(published: Published) -> bool:
    return is_fresh(published["boot"], published["heartbeat"], STALE_SECONDS) and process_table.working(
        published["pid"]
    )


def _sums(published: Published) -> dict[str, int]:
    """The counts by their names in the figures."""
    checks = _by_code(codes for route, codes in published["requests"].items() if route in latency.CHECKS)
    codes_by_kind = (
        (Sum.REQUESTS, _by_code(published["requests"].values())),
        (Sum.PREDICTING, published.get("predicting", {})),
        (Sum.CHECKED, checks),
    )
    sums = {Sum.LOST: published["lost"], Sum.DURATION: round(published["seconds"] * 1e6)}
    sums[Sum.EARLY] = published.get("before_first_model", 0)
    return sums | {kind + code: number for kind, codes in codes_by_kind for code, number in codes.items()}


def _by_code(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    codes: dict[str, int] = {}
    for table in tables:
        codes = added(codes, table)
    return codes


def _latency(buckets: list[int]) -> dict[str, int]:
    if len(buckets) != len(latency.BOUNDS) + 1:  # those of another release
        return {}
    return {bound: number for bound, number in zip(latency.NAMES, buckets, strict=True) if number}
