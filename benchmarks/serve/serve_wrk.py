"""Closed loop: `wrk` sends the next request when the last one is answered, so it finds the most that a server can do."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONNECTIONS = 8
WARM_SECONDS = 1

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = %s
done = function(summary, latency)
    local bad = summary.errors
    local failed = bad.connect + bad.read + bad.write + bad.status + bad.timeout
    io.write(string.format("found %%d %%d %%d %%f %%f\\n", summary.requests, summary.duration, failed,
        latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Closed:
    """What a server did: requests a second, how many of them failed, latency in ms."""

    rate: float
    failed: int
    p50: float
    p99: float


def missing() -> str | None:
    """Why it can't be measured; None if it can."""
    return None if shutil.which("wrk") else "wrk is not installed (Debian, Ubuntu: apt install wrk)"


def ask(
    port: int, body: Mapping[str, Any], seconds: float, path: str = "/predict", connections: int = CONNECTIONS
) -> Closed:
    """POST a JSON body over some connections for some seconds, after WARM_SECONDS to warm up."""
    with tempfile.TemporaryDirectory(prefix="retraind-wrk-") as folder:
        script = Path(folder) / "post.lua"
        # JSON in JSON is a string that Lua reads the same way, as long as it is ASCII.
        script.write_text(SCRIPT % json.dumps(json.dumps(dict(body))))
        _run(script, port, path, WARM_SECONDS, connections)
        return _run(script, port, path, max(1, round(seconds)), connections)


def _run(script: Path, port: int, path: str, seconds: int, connections: int) -> Closed:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "10", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True, timeout=seconds + 60
    )
    words = next(line for line in done.stdout.splitlines() if line.startswith("found ")).split()[1:]
    requests, duration, failed, p50, p99 = map(float, words)
    return Closed(requests / duration * 1e6, int(failed), p50 / 1000, p99 / 1000)
