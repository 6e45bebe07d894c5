"""A hundred swaps under load, by rewriting the pointer as the daemon does; cold start; memory."""

import itertools
import time

from benchmarks.figures import spread
from benchmarks.load import Answer, Load, Outcome
from benchmarks.serve import serve_models, serve_site
from retraind.daemon.core.home import Home

COLUMNS = ("fact", "value", "target")
START_COLUMNS = ("worker", "median", "least", "most", "target")
PAUSE = 0.1
"""Seconds between two swaps: a worker looks at the pointer every 0.05 s."""

STARTS = 5


def measure(home: Home, row: list[float], rate: int, swaps: int) -> list[list[str]]:
    """Rows of the first table: two forests take turns."""
    other = serve_models.add_version(home, 2, serve_models.estimator("forest", seed=7))
    pointers = [serve_models.pointer(home), other]
    with serve_site.running(home, row) as site:
        load = Load(site.port, rate, row=row)
        load.start()
        time.sleep(1)
        memory = [site.resident]
        for number in range(swaps):
            serve_models.point(home, pointers[(number + 1) % 2])
            time.sleep(PAUSE)
            memory.append(site.resident)
        time.sleep(0.5)
        outcome = load.stop()
    serve_models.point(home, pointers[0])
    return _facts(outcome, memory)


def _facts(outcome: Outcome, memory: list[float]) -> list[list[str]]:
    ended = sorted(one.due + one.seconds for one in outcome.answers)
    gap = max((later - earlier for earlier, later in itertools.pairwise(ended)), default=0.0)
    settled = memory[len(memory) // 10 :]
    return [
        ["swaps seen by the client", str(_changes(outcome.answers)), "100"],
        ["answers", str(len(outcome.answers)), ""],
        ["failed requests", _failed(outcome), "0"],
        ["answers with no or more than one version", str(outcome.unclear), "0"],
        ["longest time between two answers, ms", f"{gap * 1000:.1f}", "<= 20"],
        ["of which: sent late (most), ms", f"{max(outcome.late) * 1000:.1f}", ""],
        ["resident memory, MB: after a tenth of the swaps, at the end", f"{settled[0]:.0f}, {memory[-1]:.0f}", ""],
    ]


def _failed(outcome: Outcome) -> str:
    reasons = ", ".join(f"{number} {why}" for why, number in outcome.failed.items() if number)
    return f"{outcome.failed.total()}{f' ({reasons})' if reasons else ''}"


def _changes(answers: list[Answer]) -> int:
    versions = [one.version for one in sorted(answers, key=lambda one: one.due)]
    return sum(earlier != later for earlier, later in itertools.pairwise(versions))


def starts(home: Home, row: list[float]) -> list[list[str]]:
    """Rows of the second table: from the start of the process to the first answer, and its memory then."""
    seconds, memory = [], []
    for _ in range(STARTS):
        with serve_site.running(home, row) as site:
            seconds.append(site.cold)
            memory.append(site.resident)
    return [
        ["cold start to the first prediction, s", *spread(seconds), "<= 1"],
        ["resident memory then, MB", *spread(memory, 0), "<= 150"],
    ]
