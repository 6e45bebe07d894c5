"""Predictions a second of a serving node against those of plain `retraind serve` with the same bundle, in turns.

Run it with `python -m benchmarks.serve.node_rate`; it needs PostgreSQL, HAProxy and wrk. Both have one worker and listen on 127.0.0.1.
"""

import argparse
import shutil
import statistics
from contextlib import closing
from pathlib import Path

from benchmarks.figures import ratio, show, spread
from benchmarks.harness import ROW, Service
from benchmarks.serve import serve_wrk
from benchmarks.serve.node_cluster import cluster

TARGET = 0.97


class Serving(Service):
    """`retraind serve`."""

    command = "serve"


def measure(rounds: int, seconds: float) -> dict[str, list[serve_wrk.Closed]]:
    """What each did in each round; the one that begins changes."""
    with cluster(1, separate=False) as place:
        [node] = place.nodes
        plain = Serving(_copied(node, place.folder / "plain"), server__workers=1, server__auth="none")
        with closing(plain):
            plain.start()
            plain.wait_answers()
            loads: dict[str, list[serve_wrk.Closed]] = {"retraind serve": [], "serving node": []}
            services = list(zip(loads.values(), (plain, node), strict=True))
            for number in range(rounds):
                for done, service in services[:: 1 if number % 2 else -1]:
                    done.append(serve_wrk.ask(service.port, {"features": ROW}, seconds))
    return loads


def _copied(node: Service, folder: Path) -> Path:
    """The node's bundles, pointer and journal in a home of their own."""
    shutil.copytree(node.home.root, folder / "home", ignore=shutil.ignore_patterns("workers", "node.json", "*.jsonl"))
    return folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve.node_rate", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each (default 7)")
    parser.add_argument("--seconds", type=float, default=4, help="length of a round (default 4)")
    options = parser.parse_args()
    loads = measure(options.rounds, options.seconds)
    rates = {name: [load.rate for load in done] for name, done in loads.items()}
    base = statistics.median(rates["retraind serve"])
    rows = [
        [
            name,
            *spread(rates[name], 0),
            str(sum(load.failed for load in done)),
            ratio(statistics.median(rates[name]), base),
        ]
        for name, done in loads.items()
    ]
    show(
        f"Answers a second of one worker, {options.rounds} rounds of {options.seconds:g} s in turns",
        ["", "median", "least", "most", "failed", f"to serve, target {TARGET}"],
        rows,
    )


if __name__ == "__main__":
    main()
