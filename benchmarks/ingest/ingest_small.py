"""Many small files at once, while `/health` and `/predict` are asked at a fixed rate."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import inputs
from benchmarks.figures import percentile, ratio, spread
from benchmarks.harness import Service, running
from benchmarks.ingest.dropping import Timing, drop, peak_bytes
from benchmarks.load import PREDICT, Load, Outcome

ROWS = 10
PATHS = ("/health", PREDICT)

QUIET: dict[str, object] = {"retrain__schedule": "", "retrain__threshold_rows": 1_000_000_000} | {
    "retrain__drift": False,
    "retrain__live": False,
}
"""No training but the first: ingestion alone is measured."""

TRAINING: dict[str, object] = {"retrain__schedule": ""}
"""As it comes: a training each time 50 rows more are there and the last one is done."""

FILES_PER_SECOND, P99_MS = 1500, 50
"""What the project promises."""


@dataclass(frozen=True)
class Round:
    """Files dropped at once: their bytes and moments, and what the requests met meanwhile, by path."""

    files: int
    bytes: int
    timing: Timing
    answered: dict[str, Outcome]

    def latencies(self, path: str) -> list[float]:
        """Seconds of each answer whose request was due between the first rename and the last commit."""
        span = (self.timing.renamed, self.timing.committed)
        return [one.seconds for one in self.answered[path].answers if span[0] <= one.due <= span[1]]


@dataclass(frozen=True)
class Measured:
    """Some rounds with one service; `differing` rows of dataset and drops; `peak` bytes of the daemon."""

    rounds: list[Round]
    before: dict[str, Outcome]
    differing: int
    peak: int
    trainings: int


def measure(service: Service, files: int, repeat: int, rate: int, quiet_seconds: float) -> Measured:
    """Ask for `quiet_seconds`, then drop `files` files `repeat` times; each time all are committed before the next."""
    with _asked(service, rate) as before:
        time.sleep(quiet_seconds)
    service.wait_idle()
    known = service.last_event()
    expected, rounds = inputs.multiset(inputs.committed(service.home)), []
    for number in range(repeat):
        staging = service.home.root.parent / f"staging-{number}"
        size = inputs.small_files(staging, files, ROWS, seed=number)
        expected += inputs.dropped(staging)
        with _asked(service, rate) as answered:
            timing = drop(service, staging)
        rounds.append(Round(files, size, timing, answered))
        staging.rmdir()
    stored = inputs.multiset(inputs.committed(service.home))
    trainings = len(service.events("training", known))
    return Measured(rounds, before, inputs.differing(stored, expected), peak_bytes(service.pid), trainings)


@contextmanager
def _asked(service: Service, rate: int) -> Iterator[dict[str, Outcome]]:
    """Ask each of PATHS `rate` times a second meanwhile; what came of it is there afterwards."""
    loads, outcomes = {path: Load(service.port, rate, path) for path in PATHS}, dict[str, Outcome]()
    for load in loads.values():
        load.start()
    try:
        yield outcomes
    finally:
        outcomes.update({path: load.stop() for path, load in loads.items()})


COLUMNS = ["variant", "median", "least", "most", "target"]


def table(name: str, measured: Measured) -> list[list[str]]:
    """Rows for one variant: files a second, and whether each row is there exactly once."""
    rounds = measured.rounds
    wall = [one.files / one.timing.wall for one in rounds]
    work = [one.files / one.timing.work for one in rounds]
    spent = [one.files / one.timing.cpu for one in rounds]
    renaming = [one.timing.last_renamed - one.timing.renamed for one in rounds]
    batches = [float(one.timing.batches) for one in rounds]
    return [
        [f"{name}: files/s, first rename to all committed", *spread(wall, 0), f">= {FILES_PER_SECOND}"],
        [f"{name}: files/s, first settled to all committed", *spread(work, 0), ""],
        [f"{name}: files per second of the daemon's processor time", *spread(spent, 0), ""],
        [f"{name}: seconds of renaming", *spread(renaming), ""],
        [f"{name}: batches", *spread(batches, 0), ""],
        [f"{name}: trainings begun, all rounds", str(measured.trainings), "", "", ""],
        [f"{name}: rows lost or doubled, all rounds", str(measured.differing), "", "", "0"],
        [f"{name}: peak memory of the daemon, MB", f"{measured.peak / 1e6:.0f}", "", "", ""],
    ]


ASKED_COLUMNS = [
    "asked",
    "answered",
    "failed",
    "p50, ms",
    "p99",
    "most",
    "sent late, p99",
    "p99 / before",
    "target p99",
]


def asked_table(name: str, measured: Measured) -> list[list[str]]:
    """Rows for one variant: how requests fared before and meanwhile."""
    rows = []
    for path in PATHS:
        before = measured.before[path]
        quiet = [one.seconds for one in before.answers]
        busy = [seconds for one in measured.rounds for seconds in one.latencies(path)]
        failed = sum(one.answered[path].failed.total() for one in measured.rounds)
        late = [seconds for one in measured.rounds for seconds in one.answered[path].late]
        rows.append([f"{path}, before", *_latencies(quiet, before.failed.total(), before.late), "", ""])
        compared = ratio(percentile(busy, 0.99), percentile(quiet, 0.99))
        rows.append([f"{path}, meanwhile, {name}", *_latencies(busy, failed, late), compared, f"< {P99_MS}"])
    return rows


def _latencies(seconds: list[float], failed: int, late: list[float]) -> list[str]:
    shares = [f"{percentile(seconds, share) * 1000:.1f}" for share in (0.5, 0.99, 1.0)]
    return [str(len(seconds)), str(failed), *shares, f"{percentile(late, 0.99) * 1000:.1f}"]


def small(files: int, repeat: int, rate: int, *, trainings: bool) -> Measured:
    """One variant with a service of its own."""
    with running(**(TRAINING if trainings else QUIET)) as service:
        return measure(service, files, repeat, rate, quiet_seconds=5)
