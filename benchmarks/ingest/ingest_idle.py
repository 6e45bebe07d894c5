"""What an idle service costs, with many refused files kept in the inbox."""

import time
from pathlib import Path

from benchmarks.harness import Service
from benchmarks.ingest.dropping import cpu_seconds

PERCENT = 0.5
"""What the project promises, of one core."""


def trainer_pid(service: Service) -> int:
    """Pid of the trainer: the daemon's only child that is no HTTP worker."""
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    return next(int(pid) for pid in children if int(pid) not in service.worker_pids())


def fill_rejected(folder: Path, count: int) -> None:
    """Put `count` refused files and their reports into `folder`, as the daemon leaves them."""
    for number in range(count):
        (folder / f"bad-{number:05}.csv").write_text("nothing,of,use\n1,2,3\n")
        (folder / f"bad-{number:05}.csv.report.json").write_text('{"reason": "A benchmark has made it."}')


def measure(service: Service, rejected: int, seconds: float) -> dict[str, float]:
    """Share of one core (percent) that each process takes in `seconds` with `rejected` files in inbox/rejected."""
    fill_rejected(service.home.rejected, rejected)
    service.wait_idle()
    # Long enough for the rescan and the tick that the files themselves have caused.
    time.sleep(min(seconds, 6))
    processes = {"daemon": service.pid, "trainer": trainer_pid(service)}
    processes |= {f"worker {number}": pid for number, pid in enumerate(sorted(service.worker_pids()), 1)}
    before = {name: cpu_seconds(pid) for name, pid in processes.items()}
    started = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - started
    return {name: (cpu_seconds(pid) - before[name]) / took * 100 for name, pid in processes.items()}


def table(shares: dict[str, float]) -> list[list[str]]:
    """Rows: percent of one core by process, and of all of them."""
    rows = [[name, f"{share:.2f}", ""] for name, share in shares.items()]
    return [*rows, ["all", f"{sum(shares.values()):.2f}", f"< {PERCENT}"]]
