"""Death and errors at every change on the disk, through real ingestion, journal, DVC and git.

Each case ingests the same drops in a process of its own, in which one of its changes of the disk, counted over all its
threads and the git commands it starts, kills everything or fails: once, or always from then on. Then a process
without faults finishes the work, as a restart does, and everything that `checks` knows has to hold. The short form
spreads some points over the whole run, `./ci.sh --full` takes many more.
"""

import errno
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import postgres as servers
import pytest
import wiring
from postgres import Place
from tracer import CALLS, SUPPORTED

from benchmarks.postgres import Postgres
from retraind.daemon.core.home import Home

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not SUPPORTED, reason="the tracer knows the system calls of x86_64 only"),
]

DATABASE = ("pwrite64",)
"""What SQLite writes with, in the journal and in DVC's caches: half of all changes, and those of a well-tested program."""

FILES = tuple(sorted(set(CALLS.values()) - set(DATABASE)))
GROWING = ("write", "pwrite64", "openat", "mkdir", "rename", "link", "sendfile", "ftruncate", "fsync", "fdatasync")
SYNCS = ("fsync", "fdatasync")

FAILPOINTS = [
    f"{side}{method}"
    for method in ("inbox.reading:1", "inbox.reading:3", "inbox.quarantine:1", "batches.accept:1", "batches.accept:2",
                   "drops.refuse:1", "batches.commit:1", "batches.commit:3", "batches.merge:1", "dataset.commit:1",
                   "dataset.commit:2", "dataset.commit:4", "inbox.reject:1", "inbox.reject:3", "inbox.clear:1",
                   "inbox.clear:4", "erasures.forget:1", "dataset.purge:1")
    for side in "-+"
]  # fmt: skip


@dataclass(frozen=True)
class Series:
    """One kind of fault over the points of a run: how many of them in the short and the full form (0: every one, for who has an hour)."""

    fault: dict[str, Any]
    short: int
    full: int
    first: bool = False
    """In a home that has never been started, where git's and DVC's repositories are made."""


SERIES = {
    "kill": Series({"kind": "kill", "calls": FILES}, 3, 420),
    "kill-database": Series({"kind": "kill", "calls": DATABASE}, 1, 40),
    "kill-first": Series({"kind": "kill", "calls": FILES}, 1, 130, first=True),
    "full-once": Series({"kind": "once", "error": errno.ENOSPC, "calls": GROWING}, 2, 120),
    "full-forever": Series({"kind": "forever", "error": errno.ENOSPC, "calls": GROWING}, 1, 30),
    "broken-once": Series({"kind": "once", "error": errno.EIO, "calls": SYNCS}, 1, 80),
    "broken-forever": Series({"kind": "forever", "error": errno.EIO, "calls": SYNCS}, 1, 20),
    "unremovable": Series(
        {"kind": "once", "error": errno.EIO, "calls": ("unlink", "unlinkat", "rename", "renameat", "renameat2")}, 1, 40
    ),
    "full-first": Series({"kind": "once", "error": errno.ENOSPC, "calls": GROWING}, 1, 30, first=True),
}


class Runner:
    """A warm process that forks the children of the cases, and the home that most of them begin with."""

    def __init__(self, root: Path) -> None:
        self.template = Home(root / "template")
        root.mkdir()
        # It forks, so it must have one thread; what measures coverage would write files of its own.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(str(folder) for folder in Path(__file__).parents[:3])
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("runner.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, home: Home, action: str, **about: Any) -> dict[str, Any]:
        """Run one action in a home; the answer has `code`, `calls` and `hit`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"home": str(home.root), "action": action, **about}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the runner has ended; see its output above"
        return dict(json.loads(line))

    def close(self) -> None:
        self._process.communicate()


@dataclass
class Bench:
    """Runs cases on as many runners as there are."""

    root: Path
    runners: list[Runner]
    names: Iterator[int] = field(default_factory=itertools.count)
    counts: dict[bool, list[str]] = field(default_factory=dict)
    place: Place = lambda _home: None
    """Gives a home the place of its journal."""

    def counted(self, series: Series) -> list[str]:
        """Every change that a run without a fault makes, in the home that the series begins with."""
        if series.first not in self.counts:
            ended = self.one(self.runners[0], series, fault={}, dvc=True)
            assert ended["code"] == 0
            self.counts[series.first] = ended["calls"]
        return self.counts[series.first]

    def one(self, runner: Runner, series: Series, *, dvc: bool = False, **about: Any) -> dict[str, Any]:
        """One case from the drops to the checks; gives what the tracer saw."""
        home = Home(self.root / f"case-{next(self.names)}")
        if series.first:
            wiring.bare(home)
            self.place(home)
            wiring.drop_one(home)
        else:
            shutil.copytree(runner.template.root, home.root, symlinks=True)
            self.place(home)
            servers.follow(home)
            wiring.drop(home)
        worked = runner.ask(home, "work", **about)
        checked = runner.ask(home, "check", first=series.first, dvc=dvc)
        log = home.root.with_name(f"{home.root.name}.log")
        assert checked["code"] == 0, f"{about} ({worked['code']}, {worked['calls'][-3:]}): {log.read_text()[-3000:]}"
        if about.get("fault", {}).get("kind") == "once":
            # 4: the start itself failed, and the supervisor starts it again; all else has to get over it by itself.
            assert worked["code"] in (0, 4), f"{about} ({worked['code']}): {log.read_text()[-3000:]}"
        shutil.rmtree(home.root)
        log.unlink()
        return worked

    def many(self, series: Series, cases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Many cases, each on a runner that is free."""
        free: queue.SimpleQueue[Runner] = queue.SimpleQueue()
        for runner in self.runners:
            free.put(runner)

        def run(about: dict[str, Any]) -> dict[str, Any]:
            runner = free.get()
            try:
                return self.one(runner, series, **about)
            finally:
                free.put(runner)

        with ThreadPoolExecutor(len(self.runners)) as pool:
            return list(pool.map(run, cases))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("faults")
    # A runner takes as long to warm up as some cases do.
    full = any(item.path == request.path and item.get_closest_marker("slow") for item in request.session.items)
    runners = [Runner(root / f"runner-{number}") for number in range(min(4, os.cpu_count() or 1) if full else 1)]
    with ThreadPoolExecutor(len(runners)) as pool:
        list(pool.map(lambda runner: runner.ask(runner.template, "prepare"), runners))
    yield Bench(root, runners)
    for runner in runners:
        runner.close()


def spread(total: int, wanted: int) -> list[int]:
    """`wanted` numbers from 1 to `total`, each in the middle of its share; 0: all of them."""
    if wanted == 0 or wanted >= total:
        return list(range(1, total + 1))
    return [1 + int((index + 0.5) * total / wanted) for index in range(wanted)]


@pytest.mark.parametrize("form", ["short", pytest.param("full", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SERIES)
def test_fault_at_any_change_loses_and_doubles_nothing(
    bench: Bench, name: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row once, every bad row kept once, hashes right, one commit for each batch, and the next drop is taken."""
    series = SERIES[name]
    total = sum(call in series.fault["calls"] for call in bench.counted(series))
    # The very last points may not come: threads and git do not make exactly the same changes each time.
    points = spread(total, getattr(series, form))
    cases = [{"fault": {**series.fault, "at": at}, "dvc": index % 20 == 0} for index, at in enumerate(points)]
    results = bench.many(series, cases)
    hit = sum(result["hit"] for result in results)
    restarts = sum(result["code"] != 0 for result in results)
    ended = sum(result["code"] < 0 for result in results)
    with capsys.disabled():
        print(f"\n{name}: {hit} faults at {total} points, {restarts} restarts, {ended} of them after kills")
    assert hit >= max(1, 0.9 * len(points) - 1)


@pytest.mark.parametrize("form", ["short", pytest.param("full", marks=pytest.mark.slow)])
def test_death_between_the_steps_loses_and_doubles_nothing(
    bench: Bench, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process dies right before (-) or right after (+) a call of one of the parts."""
    chosen = FAILPOINTS if form == "full" else FAILPOINTS[::9]
    results = bench.many(SERIES["kill"], [{"failpoint": failpoint} for failpoint in chosen])
    alive = [failpoint for failpoint, result in zip(chosen, results, strict=True) if result["code"] != -9]
    assert not alive, "the run never came there"
    with capsys.disabled():
        print(f"\nfailpoints: {len(chosen)} deaths")


@pytest.mark.parametrize("form", ["short", pytest.param("full", marks=pytest.mark.slow)])
def test_journal_on_a_server_makes_no_difference(bench: Bench, postgres: Postgres, form: str) -> None:
    """Deaths between the steps, and in the full form faults at changes of every kind: the journal is then no file of the home."""
    folder = bench.root / f"server-{form}"
    folder.mkdir()
    there = Bench(folder, bench.runners, place=postgres.place)
    chosen = FAILPOINTS if form == "full" else ["+batches.accept:1", "-batches.commit:3", "+erasures.forget:1"]
    results = there.many(SERIES["kill"], [{"failpoint": failpoint} for failpoint in chosen])
    assert [result["code"] for result in results] == [-9] * len(chosen)
    for name, series in SERIES.items() if form == "full" else ():
        total = sum(call in series.fault["calls"] for call in there.counted(series))
        points = spread(total, 4 * series.short)
        results = there.many(series, [{"fault": {**series.fault, "at": at}} for at in points])
        assert sum(result["hit"] for result in results) >= max(1, 0.9 * len(points) - 1), name
