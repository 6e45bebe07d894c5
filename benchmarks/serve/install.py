"""Install: from `git clone` to the first prediction with `./deploy.sh local`, with uv and with pip, with empty caches and then with full ones.

Run it with `python -m benchmarks.serve.install`. It fetches the packages from the index that pip is configured with.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import figure, show
from benchmarks.harness import PATIENCE, ROOT, Client, NeverHappened, wait_for

COLD_SECONDS, WARM_SECONDS = 40, 12
"""What the project promises, with uv."""

INSTALL_SECONDS = 900.0


class Figures(NamedTuple):
    """One installation: seconds of its parts, CPU seconds, and the environment's size in MB at the first prediction."""

    clone: float
    install: float
    start: float
    cpu: float
    size: float


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def size(folder: Path) -> float:
    """MB that a folder takes on the disk."""
    done = subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1e6


def children() -> float:
    """CPU seconds of the children that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def install(program: str, folder: Path, caches: Path) -> Figures:
    """Clone into `folder` and run it until it predicts; `program` installs, with its cache below `caches`."""
    before, started = children(), time.monotonic()
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    cloned = time.monotonic()
    port, log = free_port(), folder.with_suffix(".log")
    environ = os.environ | {
        "PATH": os.pathsep.join(place for place in os.get_exec_path() if not Path(place, "uv").exists()),
        "UV_CACHE_DIR": str(caches / "uv"),
        "PIP_CACHE_DIR": str(caches / "pip"),
        "RETRAIND_INSTALLER": program,
    }
    with log.open("wb") as output, subprocess.Popen(
        ["./deploy.sh", "local", "--", "--port", str(port)],
        cwd=folder, env=environ, stdout=output, stderr=output, start_new_session=True,
    ) as service:  # fmt: skip
        try:
            wait_for("the environment", lambda: _there(folder / ".venv/.stamp", service, log), INSTALL_SECONDS)
            installed = time.monotonic()
            client = Client(port)
            wait_for("the first prediction", client.version, PATIENCE)
            predicted = time.monotonic()
            client.close()
        finally:
            if service.poll() is None:
                service.send_signal(signal.SIGINT)
    if f"with {program}." not in log.read_text():
        raise NeverHappened(f"{program} did not install.\n{log.read_text()[-1500:]}")
    used = children() - before
    return Figures(cloned - started, installed - cloned, predicted - installed, used, size(folder / ".venv"))


def _there(mark: Path, service: "subprocess.Popen[bytes]", log: Path) -> bool | None:
    if service.poll() is not None:
        raise NeverHappened(f"deploy.sh has ended with {service.returncode}.\n{log.read_text()[-1500:]}")
    return mark.exists() or None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.install", description=__doc__.partition("\n")[0])
    parser.add_argument("--with", dest="programs", nargs="+", choices=("uv", "pip"), default=["uv", "pip"])
    options = parser.parse_args()
    rows = []
    for program in options.programs:
        with tempfile.TemporaryDirectory(prefix="retraind-install-") as name:
            root = Path(name)
            for caches in ("empty", "full"):
                figures = install(program, root / f"clone {caches}", root / "caches")
                total = figures.clone + figures.install + figures.start
                target = {"empty": COLD_SECONDS, "full": WARM_SECONDS}[caches] if program == "uv" else ""
                words = [figure(value, 1) for value in (*figures[:3], total)]
                rows.append(
                    [
                        f"{program}, caches {caches}",
                        *words,
                        str(target),
                        figure(figures.cpu, 1),
                        figure(figures.size, 0),
                    ]
                )
                shutil.rmtree(root / f"clone {caches}")
    columns = ["", "clone", "install", "start to prediction", "all", "target", "CPU", "size of .venv, MB"]
    show("Clone to first prediction, seconds", columns, rows)


if __name__ == "__main__":
    main()
