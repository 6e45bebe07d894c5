"""What people would use instead: a script of watchdog, `dvc add` and `git commit`; Spark's file source."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import inputs
from benchmarks.harness import wait_for
from benchmarks.peer import QUIET
from benchmarks.rows import header, lines
from retraind.daemon.service.bootstrap import FEATURES, TARGET

WATCH = """
import subprocess, sys, time
from pathlib import Path
import pandas
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

class Handler(FileSystemEventHandler):
    def on_closed(self, event):
        self.take(Path(event.src_path))
    def on_moved(self, event):
        self.take(Path(event.dest_path))
    on_created = on_closed
    def take(self, path):
        if not path.exists():
            return
        pandas.read_csv(path).to_parquet(Path("data") / (path.stem + ".parquet"))
        subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data"], check=True)
        subprocess.run(["git", "add", "data.dvc", ".gitignore"], check=True)
        author = ["-c", "user.name=peer", "-c", "user.email=peer@localhost"]
        subprocess.run(["git", *author, "commit", "-q", "-m", path.name], check=True)
        path.unlink()

observer = Observer()
observer.schedule(Handler(), "inbox")
observer.start()
print("ready", flush=True)
while True:
    time.sleep(1)
"""

SPARK = Path(__file__).with_name("spark_source.py")
SMALL_COLUMNS = ",".join([*(f"{name}:double" for name in FEATURES), f"{TARGET}:string"])
WIDE_COLUMNS = ",".join([*(f"{name}:double" for name in inputs.WIDE), f"{inputs.WIDE_TARGET}:string"])


# The script


def script(folder: Path, files: int) -> float:
    """Seconds from the first rename until the script has committed all of `files` small files, one after the other."""
    folder.mkdir()
    for name in ("inbox", "data", "staging"):
        (folder / name).mkdir()
    source = random.Random(3)
    for number in range(files + 1):
        (folder / "staging" / f"drop-{number}.csv").write_text(header() + lines(source, 10))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, env=os.environ | QUIET, check=True)
    (folder / "watch.py").write_text(WATCH)
    watcher = subprocess.Popen(
        [sys.executable, "watch.py"], cwd=folder, env=os.environ | QUIET, stdout=subprocess.PIPE, text=True
    )
    try:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        _take(folder, ["drop-0.csv"], watcher)  # the first loads pandas' Parquet and is not counted
        started = time.monotonic()
        _take(folder, [f"drop-{number}.csv" for number in range(1, files + 1)], watcher)
        return time.monotonic() - started
    finally:
        watcher.terminate()
        watcher.wait(30)


def _take(folder: Path, names: list[str], watcher: subprocess.Popen[str]) -> None:
    for name in names:
        (folder / "staging" / name).rename(folder / "inbox" / name)

    def taken() -> bool | None:
        if watcher.poll() is not None:
            raise RuntimeError("the peer's script ended by itself")
        return None if any((folder / "inbox").iterdir()) else True

    wait_for("the peer's commits", taken, seconds=60.0 * len(names))


# Spark


@dataclass(frozen=True)
class Spark:
    """What one query did: seconds, rows that came out, Spark's version."""

    seconds: float
    rows: int
    version: str


class Unavailable(RuntimeError):
    """Spark can't be run here; says why."""


def spark_python(folder: Path | None) -> Path:
    """The Python of an environment in `folder` that has pyspark, made there if need be; raises Unavailable."""
    if folder is None:
        raise Unavailable("no --peers DIR was given, into which pyspark (0.9 GB) may be installed")
    if shutil.which("java") is None:
        raise Unavailable("there is no java on the PATH")
    python = folder.absolute() / "spark/bin/python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(python.parent.parent)], "an environment can't be made")
    if subprocess.run([python, "-c", "import pyspark"], capture_output=True, check=False).returncode:
        _run([str(python), "-m", "pip", "install", "-q", "pyspark"], "pyspark can't be installed")
    return python


def _run(command: list[str], failing: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{failing}: {done.stderr.strip().splitlines()[-1] if done.stderr else done.returncode}")


def spark(python: Path, folder: Path, columns: str) -> Spark:
    """Let Spark take every file of `folder` once, to Parquet beside it; seconds without the start of Java."""
    beside = [str(folder.with_name(f"{folder.name}-{name}")) for name in ("checkpoint", "output")]
    environment = os.environ | {"PYSPARK_PYTHON": str(python)}
    done = subprocess.run(
        [python, SPARK, folder, *beside, columns], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"Spark failed: {done.stderr[-1500:]}")
    return Spark(**json.loads(done.stdout.splitlines()[-1]))


# Both


COLUMNS = ["peer", "files", "seconds", "files/s", "MB/s", "rows lacking"]


def compare(folder: Path, peers: Path | None, scripted: int, small: int, large: int) -> tuple[list[list[str]], str]:
    """Rows for each peer with `scripted` and `small` files of 10 rows and one of `large` rows; and a note on Spark."""
    seconds = script(folder / "script", scripted)
    rows = [["watchdog, `dvc add`, `git commit`", str(scripted), *_speeds(seconds, scripted, 0), "-"]]
    rows.append([f"- extrapolated from {scripted}", str(small), *_speeds(seconds / scripted * small, small, 0), "-"])
    try:
        python = spark_python(peers)
    except Unavailable as reason:
        return rows, f"Spark was not measured: {reason}."
    size = inputs.small_files(folder / "small", small, 10, seed=0)
    many = spark(python, folder / "small", SMALL_COLUMNS)
    rows.append(["Spark, small files", str(small), *_speeds(many.seconds, small, size), str(small * 10 - many.rows)])
    (folder / "large").mkdir()
    size = inputs.large_file(folder / "large/one.csv", large, seed=1)
    by_spark = spark(python, folder / "large", WIDE_COLUMNS)
    rows.append(["Spark, one large file", "1", *_speeds(by_spark.seconds, 1, size), str(large - by_spark.rows)])
    return rows, f"Spark {many.version}, Structured Streaming, CSV to Parquet, AvailableNow, {_settings()}."


def _speeds(seconds: float, files: int, size: int) -> list[str]:
    return [f"{seconds:.2f}", f"{files / seconds:.3g}", f"{size / seconds / 1e6:.3g}" if size else "-"]


def _settings() -> str:
    lines = SPARK.read_text().partition("SETTINGS = {")[2].partition("}")[0].splitlines()
    return " ".join(line.strip() for line in lines if line).replace('"', "").rstrip(",")
