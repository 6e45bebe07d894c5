"""Ready: from the start of a home that serves to its first prediction and its first accepted drop, what that costs, and the commands.

Run it with `python -m benchmarks.serve.ready --times 5`. CPU is that of the daemon's own process, memory its share (PSS).
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

from benchmarks.figures import show, spread
from benchmarks.harness import Client, Service, running
from benchmarks.rows import header, lines

IDLE_SECONDS = 5.0
"""An idle daemon is looked at so long after its start is over."""

PREDICTION_SECONDS, ACCEPTED_SECONDS, COMMAND_SECONDS = 0.8, 2.0, 0.6
"""What the project promises."""

COMMANDS = ("versions", "status", "drops", "lineage 1", "schema", "token list", "--help", "doctor")


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(pid: int) -> float:
    """Memory of a process in MB, what it shares with others divided among them."""
    pages = re.findall(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(pages[0]) * 1024 / 1e6


def idle(service: Service) -> tuple[float, float]:
    """CPU of a start without a drop, and the daemon's memory then."""
    service.terminate()
    service.start()
    service.wait_started()
    time.sleep(IDLE_SECONDS)
    return cpu(service.pid), share(service.pid)


def prediction(service: Service) -> float:
    """Seconds from the start of the process to the first prediction."""
    service.terminate()
    started = service.start()
    client = Client(service.port)
    service.wait_for("the first prediction", client.version, pause=0.002)
    client.close()
    return time.monotonic() - started


def accepted(service: Service, number: int) -> tuple[float, float]:
    """Seconds from the start of the process until a drop that lies there is accepted, and CPU by then."""
    service.terminate()
    before = len(service.records.drops.newest(1000))
    drop = service.home.inbox / f"ready-{number}.csv"
    drop.with_suffix(".part").write_text(header() + lines(random.Random(number), 30))
    drop.with_suffix(".part").rename(drop)
    started = service.start()
    service.wait_for("the drop", lambda: len(service.records.drops.newest(1000)) > before or None)
    seconds, used = time.monotonic() - started, cpu(service.pid)
    service.wait_started()
    return seconds, used


def command(service: Service, words: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    place = [] if words == "--help" else ["--home", str(service.home.root)]
    subprocess.run([sys.executable, "-m", "daemon", *words.split(), *place], capture_output=True, check=False)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.ready", description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=5, help="starts of each kind (default 5)")
    options = parser.parse_args()
    with running() as service:
        predicted = [prediction(service) for _ in range(options.times)]
        took, used = zip(*(accepted(service, number) for number in range(options.times)), strict=True)
        quiet, memory = zip(*(idle(service) for _ in range(options.times)), strict=True)
        commands = {words: [command(service, words) for _ in range(options.times)] for words in COMMANDS}
    rows = [
        ["start: first prediction, s", *spread(predicted), f"{PREDICTION_SECONDS:g}"],
        ["start: first drop accepted, s", *spread(list(took)), f"{ACCEPTED_SECONDS:g}"],
        ["CPU of the daemon by then, s", *spread(list(used)), ""],
        [f"CPU of a start without a drop, {IDLE_SECONDS:g} s later, s", *spread(list(quiet)), ""],
        ["memory of the idle daemon (PSS), MB", *spread(list(memory)), ""],
    ]
    for words, figures in commands.items():
        walls, cpus = (list(column) for column in zip(*figures, strict=True))
        rows.append([f"`retraind {words}`, s", *spread(walls), f"{COMMAND_SECONDS:g}"])
        rows.append([f"`retraind {words}`, CPU s", *spread(cpus), ""])
    title = f"Start of a home that serves, and commands, {options.times} times each; load {os.getloadavg()[0]:.1f}"
    show(title, ["what", "median", "least", "most", "target"], rows)


if __name__ == "__main__":
    main()
