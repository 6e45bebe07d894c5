"""Serving nodes behind HAProxy at a fixed rate, while two versions replace each other: failures, time of a swap, skew between nodes.

Run it with `python -m benchmarks.serve.nodes --rate 1000 --swaps 1000`. It needs PostgreSQL, HAProxy and a C compiler; as root,
each node is in a network namespace of its own. A swap's time counts from the request to /promote, and from the moment when the
desired row becomes active, until a node answers a request of the load with the version.
"""

import argparse
import functools
import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from benchmarks.figures import percentile, show
from benchmarks.serve.node_cluster import Cluster, cluster
from benchmarks.serve.steady_load import Answers, loading
from benchmarks.serve.swaps import two_versions

PAUSE_SECONDS = 0.2
"""After each swap, from the moment when every node has set its pointer."""

RATHER_LATE = 30.0
"""Seconds in which every node must have set its pointer."""

LOOK_SECONDS = 0.02
"""How often the server is asked for that."""


@dataclass(frozen=True)
class Swap:
    """One change of the served version, until the next is requested; all times are wall clock."""

    version: int
    requested: float
    activated: float
    until: float


def measure(place: Cluster, rate: float, swaps: int) -> tuple[Answers, list[Swap]]:
    """Predict all the time while versions replace each other."""
    versions = two_versions(place.leader)
    for node in place.nodes:
        place.wait_serves(node, versions[1])
    with loading(place.port, rate, place.folder) as answers, closing(place.leader.client()) as client:
        time.sleep(1)
        done = []
        for number in range(swaps):
            version, requested = versions[number % 2], time.time()
            client.ask("/promote", {"version": version})
            look = functools.partial(place.activated, version, len(place.nodes))
            activated = place.leader.wait_for("the swap", look, RATHER_LATE, LOOK_SECONDS)
            time.sleep(PAUSE_SECONDS)
            done.append(Swap(version, requested, activated, time.time()))
        time.sleep(1)
    return answers[0], done


def facts(answers: Answers, swaps: Sequence[Swap], nodes: int) -> list[list[str]]:
    """Rows of the table."""
    failed, figures = answers.failed, answers.figures
    reasons = ", ".join(f"{number} {reason}" for reason, number in failed.items())
    seen = [(swap, answers.first(swap.version, swap.activated, swap.until)) for swap in swaps]
    whole = [(swap, moments) for swap, moments in seen if len(moments) == nodes and math.inf not in moments]
    spans = {
        "from the request": [at - swap.requested for swap, moments in whole for at in moments],
        "from the active row": [at - swap.activated for swap, moments in whole for at in moments],
        "skew": [max(moments) - min(moments) for _, moments in whole],
    }
    tail, late = figures.raw, figures.late
    return [
        ["requests", str(len(answers.records))],
        ["rate reached, 1/s", f"{len(answers.records) / answers.seconds:.1f}"],
        ["failed requests", f"{failed.total()}{f' ({reasons})' if reasons else ''}"],
        ["answers naming no or more than one version", str(answers.unclear)],
        ["versions with answers of more than one model", str(answers.mixed)],
        ["swaps", str(len(swaps))],
        ["swaps that a node did not show before the next one", str(len(swaps) - len(whole))],
        *([f"swap, {name}, ms", _shares(values)] for name, values in spans.items()),
        ["latency of a prediction, ms", f"{tail.p50:.1f} / {tail.p99:.1f} / {tail.most:.1f}"],
        ["of which sent late, ms", f"{late.p50:.1f} / {late.p99:.1f} / {late.most:.1f}"],
        ["pauses of the machine: number, longest in ms", f"{figures.pauses}, {figures.longest:.1f}"],
    ]


def _shares(values: Sequence[float]) -> str:
    return " / ".join(f"{percentile(values, share) * 1000:.1f}" for share in (0.5, 0.99, 1.0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.nodes", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=1000, help="predictions per second (default 1000)")
    parser.add_argument("--swaps", type=int, default=1000, help="changes of the served version (default 1000)")
    parser.add_argument("--nodes", type=int, default=3, help="serving nodes (default 3)")
    options = parser.parse_args()
    with cluster(options.nodes) as place:
        answers, swaps = measure(place, options.rate, options.swaps)
        where = "in namespaces of their own" if place.store.name else "on ports of this machine"
    title = f"{options.nodes} nodes {where}, {options.rate} predictions a second for {answers.seconds:.0f} s (p50 / p99 / most)"
    show(title, ["fact", "value"], facts(answers, swaps, options.nodes))


if __name__ == "__main__":
    main()
