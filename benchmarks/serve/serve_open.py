"""Open loop: a sender in C at a constant rate, beside which the machine's own pauses are measured (`open_loop.c`).

Python would compete for the interpreter's core, and its own collections would show in the tail.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.figures import ratio
from benchmarks.serve import serve_site
from retraind.daemon.core.home import Home

SOURCE = Path(__file__).with_name("open_loop.c")
COLUMNS = (
    "model", "rate", "answered", "failed", "p50, ms", "p99, ms", "p99.9, ms", "most", "p99 / p50", "target",
)  # fmt: skip
PAUSE_COLUMNS = ("model", "pauses of the machine", "longest, ms", "share of the time", "sent late, p99, ms", "measured")
TARGET = "p99 <= 3x p50 or 3 ms, p99.9 <= 15 ms"


@dataclass(frozen=True, slots=True)
class Tail:
    """Latency in ms."""

    p50: float
    p99: float
    p999: float
    most: float


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of a load; `raw` is as a client sees it, `net` without the machine's pauses."""

    rate: int
    answered: int
    failed: int
    raw: Tail
    net: Tail
    late: Tail
    """How much later than it was due each request left."""
    pauses: int
    longest: float
    """In ms."""
    share: float
    """Of the time, that pauses and as much time after each took."""
    realtime: bool
    """Whether the pauses were measured before all other programs, so that none of these counts as one."""


def missing() -> str | None:
    """Why it can't be measured; None if it can."""
    return (
        None
        if shutil.which("cc")
        else "the part `open` compiles its sender, and there is no C compiler `cc` (Debian, Ubuntu: apt install gcc libc6-dev)"
    )


def compiled(folder: Path) -> Path:
    """The sender, compiled into a folder."""
    program = folder / "open_loop"
    subprocess.run(["cc", "-O2", "-pthread", "-o", str(program), str(SOURCE)], check=True)
    return program


def measure(program: Path, home: Home, row: list[float], rate: int, seconds: float) -> Opened:
    """Predictions of one row by one worker, `rate` a second, after a second to warm up."""
    with serve_site.running(home, row) as site:
        ask(program, site.port, row, max(1, rate // 4), 1)
        return ask(program, site.port, row, rate, seconds)


def ask(program: Path, port: int, row: list[float], rate: int, seconds: float) -> Opened:
    """The same of a service that runs."""
    command = [str(program), str(port), str(rate), f"{seconds:g}"]
    done = subprocess.run(command, input=request(port, row), capture_output=True, check=True, timeout=seconds + 60)
    return opened(rate, json.loads(done.stdout))


def request(port: int, row: list[float]) -> bytes:
    """The request that the sender repeats."""
    body = orjson.dumps({"features": row})
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def opened(rate: int, figures: dict[str, Any]) -> Opened:
    """What the sender prints."""
    raw, net, late = (Tail(**figures[name]) for name in ("raw", "net", "late"))
    pauses = figures["pauses"]
    counts = rate, figures["answered"], figures["failed"]
    return Opened(*counts, raw, net, late, pauses["count"], pauses["longest"], pauses["share"], figures["realtime"])


def rows(model: str, load: Opened) -> list[list[str]]:
    """Rows of COLUMNS: as clients see it, and without the machine's pauses.

    Without real-time priority the second is left out: the cores also keep the meters waiting while the server itself computes.
    """
    counts = [str(load.rate), str(load.answered), str(load.failed)]
    if not load.realtime:
        return [[model, *counts, *_figures(load.raw), TARGET]]
    return [
        [model, *counts, *_figures(load.raw), ""],
        [f"{model}, without pauses", "", "", "", *_figures(load.net), TARGET],
    ]


def pause_row(model: str, load: Opened) -> list[str]:
    """A row of PAUSE_COLUMNS."""
    how = "before all programs" if load.realtime else "as any program"
    return [model, str(load.pauses), f"{load.longest:.2f}", f"{load.share:.2%}", f"{load.late.p99:.2f}", how]


def _figures(tail: Tail) -> list[str]:
    return [*(f"{value:.2f}" for value in (tail.p50, tail.p99, tail.p999, tail.most)), ratio(tail.p99, tail.p50)]
