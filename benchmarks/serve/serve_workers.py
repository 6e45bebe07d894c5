"""What one core more brings: one worker and two, which share a socket, in turns."""

import statistics

from benchmarks.figures import ratio
from benchmarks.serve import serve_site, serve_wrk
from retraind.daemon.core.home import Home

COLUMNS = ("workers", "model", "answers/s, median", "failed", "p50, ms", "p99, ms", "against one")
CONNECTIONS = 32
"""The kernel gives each connection to one worker for good: with few, one worker may get most of them."""
ROUNDS = 3


def measure(homes: dict[str, Home], row: list[float], seconds: float) -> list[list[str]]:
    """Rows of COLUMNS. `wrk` needs a share of a core, so two cores never give twice the answers."""
    table = []
    for name, home in homes.items():
        rounds: dict[int, list[serve_wrk.Closed]] = {1: [], 2: []}
        for _ in range(ROUNDS):
            for workers, loads in rounds.items():
                with serve_site.running(home, row, workers=workers) as site:
                    loads.append(serve_wrk.ask(site.port, {"features": row}, seconds / ROUNDS, connections=CONNECTIONS))
        one = statistics.median(load.rate for load in rounds[1])
        for workers, loads in rounds.items():
            middle = sorted(loads, key=lambda load: load.rate)[ROUNDS // 2]
            figures = [
                f"{middle.rate:.0f}",
                str(sum(load.failed for load in loads)),
                f"{middle.p50:.2f}",
                f"{middle.p99:.2f}",
            ]
            table.append([str(workers), name, *figures, ratio(middle.rate, one)])
    return table
