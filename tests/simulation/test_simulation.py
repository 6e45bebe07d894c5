"""The loop in any order of events: real ingestion, merging, forgetting, DVC, git, journal, MLflow and promotion, by seeds.

Each seed draws what users, other processes and the machine do between two steps of the loop, and `truths` looks after each
step whether everything holds. The short form has 2 seeds, `./ci.sh --full` 2,020; every second one has its journal on a
server, which may let it down. A seed that fails is printed with what happened and with the command that does it again; those
that have found a fault are listed here.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.postgres import programs

pytestmark = pytest.mark.timeout(7200)

PROGRAM = Path(__file__).with_name("simulate.py")

FOUND = {
    20: "A refused file whose report could not get its name left a hidden file in rejected/ until the next start.",
    27: "A drop in the step in which a merge had named its file: the file went to orphans, every later commit failed.",
    35: "A training ended while the disk was full: what the trainer had said was lost, and it ran until the time limit.",
}
"""Seeds that have found a fault, and what it was; the short forms have them, too."""


def run(*arguments: str) -> dict[str, Any]:
    """Run seeds in a process of their own; gives its figures, raises what it has printed when something did not hold."""
    # It forks, so it must have one thread; what measures coverage would write files of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-3000:]}"
    return dict(json.loads(lines[-1]))


@pytest.fixture
def server(request: pytest.FixtureRequest) -> list[str]:
    """Names the server to a run; nothing where none can be started."""
    return ["--server", str(request.getfixturevalue("postgres").folder)] if programs() else []


@pytest.mark.parametrize(
    ("first", "seeds"),
    [
        (26, 2),
        pytest.param(24, 2, marks=pytest.mark.slow),
        pytest.param(20, 4, marks=pytest.mark.slow),
        pytest.param(28, 12, marks=pytest.mark.slow),
        pytest.param(10_000, 2000, marks=pytest.mark.slow),
    ],
    ids=["short", "first", "before", "longer", "full"],
)
def test_no_order_of_events_loses_stops_or_repeats_anything(
    first: int, seeds: int, server: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row once, every file and request dealt with, every training started, doctor and status right, whatever comes when."""
    # Each process first makes what its seeds begin with, which takes as long as some seeds.
    processes = min(4, os.cpu_count() or 1, 1 + seeds // 10)
    share = seeds // processes
    where = ["--journals", "both", *server] if server else []
    parts = [("--first", str(first + share * number), "--count", str(share), *where) for number in range(processes)]
    with ThreadPoolExecutor(processes) as pool:
        figures = list(pool.map(lambda part: run(*part), parts))
    steps, seconds = sum(one["steps"] for one in figures), sum(one["cpu_seconds"] for one in figures)
    with capsys.disabled():
        print(
            f"\nsimulation: {share * processes} seeds, {steps} steps, {steps / seconds:.0f} steps per second of one core"
        )


@pytest.mark.slow
@pytest.mark.parametrize("journals", ["file", "server"])
@pytest.mark.parametrize("seed", FOUND, ids=[f"seed{seed}" for seed in FOUND])
def test_seed_that_has_found_a_fault(seed: int, journals: str, server: list[str]) -> None:
    """See FOUND."""
    if journals == "server" and not server:
        pytest.skip("PostgreSQL is not installed (Debian, Ubuntu: apt install postgresql)")
    run("--first", str(seed), "--journals", journals, *server)
