"""One service lives through a month of use in twenty minutes: everything ordinary happens to it, two things at once included.

Small and large drops, bad rows, late labels, predictions, forgetting, trainings, alias moves, a user's git, restarts, kills, backups
and a clock that is wrong come in an order drawn from a seed. It prints what came of it and what was used at days 1, 10, 20 and 30, and
fails if a row is lost or doubled, a file is not decided, the service has to be started by hand, or is not healthy at the end.
Example: python -m benchmarks.month.month --minutes 20
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import inputs
from benchmarks.figures import show
from benchmarks.harness import NeverHappened, Service, running
from benchmarks.ingest.dropping import resident_bytes
from benchmarks.ingest.footprint import Taken, footprint
from benchmarks.month.clock import Clock
from benchmarks.month.month_acts import Month
from benchmarks.month.month_ledger import Ledger

DAYS = 30
STALL_SECONDS = 180.0
"""A file that is not decided after the service has been running for so long since is a fault."""

SETTLE_SECONDS = 600.0
"""How long the service may take at the end for what it has been asked."""

ACTS: dict[str, float] = {
    "small": 8,
    "spoilt": 2,
    "large": 0.25,
    "nonsense": 0.5,
    "again": 0.5,
    "send": 4,
    "predict": 6,
    "label": 1,
    "forget": 0.4,
    "retrain": 0.5,
    "promote": 0.3,
    "roll_back": 0.1,
    "look": 1,
    "git": 0.5,
    "backup": 0.1,
    "restart": 0.15,
    "kill": 0.15,
    "kill_all": 0.1,
    "hang_up": 0.2,
    "set_clock": 0.2,
}
"""How often a day each act of `Month` comes, on average; each comes at least once in the month."""

SETTINGS: dict[str, object] = {
    "retrain__cooldown_seconds": 10,
    "retrain__threshold_rows": 50,
    "train__candidates": '["logistic", "tree"]',
    "train__window_days": 20,
    "promote__keep_versions": 5,
    "predictions__keep_rows": 20_000,
    "predictions__keep_days": 20,
    "journal__keep_events": 1000,
}


@dataclass(frozen=True)
class Day:
    """What is there and used at the end of a day."""

    number: int
    rows: int
    versions: int
    memory: dict[str, int]
    """Resident bytes of daemon, HTTP workers and trainer."""
    descriptors: int
    """Of the daemon."""
    taken: dict[str, Taken]
    step: str
    """The longest step of the loop so far."""


def schedule(seed: int, days: int) -> list[tuple[float, str]]:
    """Moment (days) and name of each act."""
    source = random.Random(seed)
    acts = []
    for name, often in ACTS.items():
        count = max(1, round(often * days))
        acts += [(source.uniform(0, days), name) for _ in range(count)]
    return sorted(acts)


def live(month: Month, minutes: float, days: int, seed: int) -> Iterator[Day]:
    """Do everything at its time, or as soon as possible after; yields the days that are to be printed."""
    shown = {1, days // 3, 2 * days // 3, days} - {0}
    length, began, day = minutes * 60 / days, time.monotonic(), 1
    for moment, name in [*schedule(seed, days), (float(days), "")]:
        while moment >= day:
            month.mind(STALL_SECONDS)
            if day in shown:
                yield look(month, day)
            day += 1
        while (left := began + moment * length - time.monotonic()) > 0:
            time.sleep(min(1.0, left))
            month.mind(STALL_SECONDS)
        if name:
            month.act(name)


def look(month: Month, day: int) -> Day:
    """Measure; what can't be seen at this moment is 0."""
    service = month.service
    trainers = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _is_trainer(path, service)]
    pids = {"daemon": [service.pid], "workers": service.worker_pids(), "trainer": trainers}
    return Day(
        day,
        sum(row["rows"] for row in month.find("SELECT rows FROM batches")),
        month.find("SELECT COUNT(*) AS n FROM versions")[0]["n"],
        {name: sum(_resident(pid) for pid in each) for name, each in pids.items()},
        sum(1 for _ in Path(f"/proc/{service.pid}/fd").iterdir()),
        footprint(service.home),
        f"{month.longest.seconds:.1f} s {month.longest.name}",
    )


def _is_trainer(path: Path, service: Service) -> bool:
    with suppress(OSError):
        text = path.read_bytes()
        return b"daemon.training" in text and str(service.home.root).encode() in text
    return False


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError):
        return resident_bytes(pid)
    return 0


def finish(month: Month) -> None:
    """Wait until all is decided and done, then look whether it is as it must be; faults become problems of the month."""
    service = month.service
    try:
        service.wait_for("an end of all work", lambda: _at_rest(month), SETTLE_SECONDS, 0.5)
    except NeverHappened as error:
        month.problems.append(str(error))
    if wrong := month.ledger.wrong(inputs.multiset(inputs.committed(service.home))):
        month.problems.append(f"{wrong} rows were lost or doubled")
    for command in ("status", "doctor"):
        done = month.command(command)
        if done.returncode:
            month.problems.append(f"retraind {command}: exit code {done.returncode}\n{done.stdout[-1500:]}")


def _at_rest(month: Month) -> bool | None:
    month.mind(STALL_SECONDS)
    inbox = [path for path in month.service.home.inbox.iterdir() if path.is_file()]
    open_ = month.find("SELECT 1 FROM batches WHERE state = 'accepted'")
    open_ += month.find("SELECT 1 FROM requests WHERE state = 'queued'") + month.find(
        "SELECT 1 FROM runs WHERE state = 'started'"
    )
    asked = any(month.service.home.requests.glob("*.json"))
    return True if not inbox and not open_ and not asked and not month.ledger.waiting() else None


def report(month: Month, days: list[Day]) -> None:
    """Print the tables."""
    drops = month.ledger.drops.values()
    counts = [
        ("rows dropped or sent", sum(one.rows.total() for one in drops) + month.ledger.sent.total()),
        ("rows forgotten", sum(one.rows.total() for one in drops if one.forgotten)),
        ("bad rows", sum(one.bad for one in drops)),
        ("rows in the dataset", days[-1].rows if days else 0),
        ("rows lost or doubled", month.ledger.wrong(inputs.multiset(inputs.committed(month.service.home)))),
        *((f"drops {row['state']}", row["n"]) for row in month.find(BY_STATE.format("drops"))),
        *((f"versions {row['state']}", row["n"]) for row in month.find(BY_STATE.format("versions"))),
        *((f"trainings {row['state']}", row["n"]) for row in month.find(BY_STATE.format("runs"))),
        ("restarts needed", month.restarts),
        ("problems", len(month.problems)),
    ]
    show("What came of it", ["", "number"], [[name, f"{number:,}"] for name, number in counts])
    show("What was done", ["act", "times"], [[name, str(times)] for name, times in sorted(month.done.items())])
    show("What was used", ["at the end of", *(f"day {day.number}" for day in days)], [*_used(days)])


BY_STATE = "SELECT state, COUNT(*) AS n FROM {} GROUP BY state"


def _used(days: list[Day]) -> Iterator[list[str]]:
    def line(name: str, tell: Callable[[Day], str]) -> list[str]:
        return [name, *(tell(day) for day in days)]

    yield line("rows", lambda day: f"{day.rows:,}")
    yield line("versions", lambda day: f"{day.versions:,}")
    for name in ("daemon", "workers", "trainer"):
        yield line(f"{name}, MB", lambda day, name=name: f"{day.memory[name] / 1e6:.0f}")  # type: ignore[misc]
    yield line("descriptors of the daemon", lambda day: str(day.descriptors))
    for part in days[0].taken if days else ():
        yield line(
            f"{part}: inodes, MB",
            lambda day, part=part: f"{day.taken[part].files:,}, {day.taken[part].bytes / 1e6:.1f}",  # type: ignore[misc]
        )
    yield line("longest step so far", lambda day: day.step)


def main() -> int:
    """Live through it; 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.month.month", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with running(**SETTINGS) as service:
        clock = Clock.build(service.home.root.parent)
        ledger = Ledger(random.Random(arguments.seed), inputs.multiset(inputs.committed(service.home)))
        month = Month(service, ledger, arguments.seed, clock)
        if clock is None:
            print("The clock is not set: there is no compiler (cc) for benchmarks/month/clock.c.", flush=True)
        else:
            service.preload(clock.library, CLOCK_AHEAD=str(clock.file))
            month.restart()
        days = list(live(month, arguments.minutes, arguments.days, arguments.seed))
        finish(month)
        report(month, days)
    for problem in month.problems:
        print(f"PROBLEM: {problem}", flush=True)
    return 1 if month.problems or month.restarts else 0


if __name__ == "__main__":
    sys.exit(main())
