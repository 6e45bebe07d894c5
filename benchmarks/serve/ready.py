"""Ready: from the start of a home that serves to its first prediction and its first accepted drop, what that costs, and the commands.

Run it with `python -m benchmarks.serve.ready --times 5` (about two minutes). Every start is that of a service that was stopped by SIGTERM.
Seconds count from the moment before the daemon's process is made. The drop lies in the inbox by then, so its settling is in its seconds; it
lets a training be due, so the trainer imports beside it. CPU is that of the daemon's own process.
"""

import argparse
import os
import random
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import show, spread
from benchmarks.harness import Client, NeverHappened, Service, running
from benchmarks.rows import header, lines
from retraind.daemon.core import process_table
from retraind.daemon.core.states import DropState

IDLE_SECONDS = 5.0
"""A home counts as idle so long after its first prediction."""

IDLE_TIMES = 2
"""So many starts are looked at when they are idle: memory differs little between starts."""

ROWS = 60
"""Rows of a drop: with so many new ones a training is due."""

PREDICTION_SECONDS, ACCEPTED_SECONDS, COMMAND_SECONDS, IDLE_MEGABYTES = 0.8, 2.0, 0.6, 180
"""What the project promises."""

COMMANDS = ("versions", "status", "drops", "lineage 1", "schema", "token list", "--help", "doctor")


class Idle(NamedTuple):
    """A home without work: CPU seconds of the daemon since its start, and MB (PSS) of the daemon, its workers and the trainer."""

    cpu: float
    daemon: float
    workers: float
    trainer: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.ready", description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=5, help="starts of each kind (default 5)")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with running() as service:
        commands = {words: [command(service, words) for _ in range(options.times)] for words in COMMANDS}
        predicted, idles = [], []
        for number in range(options.times):
            predicted.append(prediction(service))
            if number < IDLE_TIMES:
                idles.append(idle(service))
        taken = [accepted(service, number) for number in range(options.times)]
    title = f"Start of a home that serves, and commands, {options.times} times each; load {load:.1f} at the beginning"
    rows = [*_starts(predicted, taken), *_idle(idles), *_commands(commands)]
    show(title, ["what", "median", "least", "most", "target"], rows)


def prediction(service: Service) -> float:
    """Seconds from the start of the process to the first prediction."""
    service.terminate()
    started = service.start()
    client = Client(service.port)
    service.wait_for("the first prediction", client.version, pause=0.002)
    seconds = time.monotonic() - started
    client.close()
    return seconds


def idle(service: Service) -> Idle:
    """What the service that has just started needs once nothing is to be done."""
    time.sleep(IDLE_SECONDS)
    workers, everyone = set(service.worker_pids()), descendants(service.pid)
    rest = everyone - workers - {service.pid}
    return Idle(cpu(service.pid), share(service.pid), sum(map(share, workers)), sum(map(share, rest)))


def accepted(service: Service, number: int) -> tuple[float, float]:
    """Seconds from the start of the process until a drop that lies there is accepted, and the daemon's CPU by then."""
    service.terminate()
    drop = service.home.inbox / f"ready-{number}.csv"
    unfinished = drop.with_suffix(".part")
    unfinished.write_text(header() + lines(random.Random(number), ROWS))
    unfinished.rename(drop)
    started = service.start()
    state = service.wait_for("the decision on the drop", lambda: decision(service, drop.name))
    seconds, used = time.monotonic() - started, cpu(service.pid)
    if state != DropState.ACCEPTED:
        raise NeverHappened(f"{drop.name} was {state} instead of accepted.\n{service.tail()}")
    service.wait_for("the commit of the drop", lambda: not drop.exists() or None)  # it is not the next start's work
    return seconds, used


def decision(service: Service, name: str) -> str | None:
    """What became of the drop with this name; None while it is not decided."""
    return next((row["state"] for row in service.records.drops.newest(1) if row["name"] == name), None)


def command(service: Service, words: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command; raises NeverHappened if it fails."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    place = [] if words == "--help" else ["--home", str(service.home.root)]
    done = subprocess.run(
        [sys.executable, "-m", "retraind.daemon", *words.split(), *place], capture_output=True, check=False
    )
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise NeverHappened(f"`retraind {words}` ended with {done.returncode}: {done.stderr.decode()}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(pid: int) -> float:
    """Memory of a process in MB (PSS): what it shares with others is divided among them."""
    pages = re.findall(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(pages[0]) * 1024 / 1e6


def descendants(pid: int) -> set[int]:
    """A process, its children, and theirs."""
    return {pid}.union(*(descendants(child.pid) for child in process_table.children(pid)))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _starts(predicted: list[float], taken: list[tuple[float, float]]) -> list[list[str]]:
    seconds, used = ([one[place] for one in taken] for place in (0, 1))
    return [
        ["start: first prediction, s", *spread(predicted), f"{PREDICTION_SECONDS:g}"],
        ["start: first drop accepted, s", *spread(seconds), f"{ACCEPTED_SECONDS:g}"],
        ["CPU of the daemon by then, s", *spread(used), ""],
    ]


def _idle(idles: list[Idle]) -> list[list[str]]:
    totals = [one.daemon + one.workers + one.trainer for one in idles]
    return [
        [f"CPU of a start without a drop, {IDLE_SECONDS:g} s later, s", *spread([one.cpu for one in idles]), ""],
        ["idle home (PSS), MB", *spread(totals, 0), f"{IDLE_MEGABYTES}"],
        ["of it the daemon", *spread([one.daemon for one in idles], 0), ""],
        ["of it the workers", *spread([one.workers for one in idles], 0), ""],
        ["of it the trainer", *spread([one.trainer for one in idles], 0), ""],
    ]


def _commands(commands: dict[str, list[tuple[float, float]]]) -> list[list[str]]:
    rows = []
    for words, figures in commands.items():
        walls, cpus = ([one[place] for one in figures] for place in (0, 1))
        rows.append([f"`retraind {words}`, s", *spread(walls), f"{COMMAND_SECONDS:g}"])
        rows.append([f"`retraind {words}`, CPU s", *spread(cpus), ""])
    return rows


if __name__ == "__main__":
    main()
