"""Runs of seeds: one process with everything imported forks a child for each life of a simulated daemon.

What fails is printed with its seed and trace; the same seed does the same again. `simulate.py` is the program.
"""

import argparse
import faulthandler
import gc
import importlib
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import journals
import templates
from acts import ACTS
from clock import Clock
from journals import Journals
from lives import Life
from stage import install, let_go
from world import World

from benchmarks.postgres import Postgres
from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Drift, Log, Promote, Retrain, Settings
from retraind.daemon.storage.server import copies

UNNEEDED = ("google",)
"""Libraries that can't be imported twice."""

MOST_LIVES = 40
LIFE_SECONDS = 120
"""A life that takes longer hangs; where it does is printed."""

MEMORY = Path("/dev/shm")
"""Homes are made here if it is there: nothing survives a power cut in a simulation anyway."""

PEACEFUL = ("small drop", "drop with bad rows", "refused drop", "predictions", "late labels", "ask: promote",
            "ask: refuse", "ask: rollback", "ask: forget", "training")  # fmt: skip
"""What happens while the process that forks warms up."""

LIVING = ("killed", "stopped", "failed to start", "overtaken")
"""Ends after which there is another life."""


def forked(action: Callable[[], None], output: Path) -> int:
    """Run `action` in a child whose output goes to a file; gives its exit code, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(fd, 1)
            os.dup2(fd, 2)
            faulthandler.dump_traceback_later(LIFE_SECONDS, exit=True)
            signal.signal(signal.SIGIO, signal.SIG_IGN)
            action()
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not go on as its parent
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def warm(root: Path, places: Journals) -> None:
    """Make the templates in a child, import in this process what it has needed, and live once in it with each journal.

    What compiles its statements when it first needs them, as MLflow does, has them then in every life.
    """
    log = root / "prepare.log"
    if (code := forked(lambda: templates.prepare(root), log)) != 0:
        raise SystemExit(f"the templates could not be made ({code}): {log.read_text()[-3000:]}")
    for name in (root / "modules").read_text().split():
        if name.split(".")[0] not in UNNEEDED:
            with suppress(Exception):
                importlib.import_module(name)
    install()
    for server in dict.fromkeys(map(places.of, range(2))):
        home = Home(root.with_name("home"))
        world = make(root, 0, home.root, server)
        world.weights, world.actions = dict.fromkeys(PEACEFUL, 1.0), 20
        Life(world, home, root / "world").run()
        assert world.ended == "rest", world.ended
        journals.leave(home, server)
    let_go()
    gc.freeze()
    gc.disable()  # a life is short, and looking through all that was imported costs more than it gives back
    # Arrow has threads of its own by now; it protects itself where a process forks.
    assert threading.enumerate() == [threading.main_thread()], f"it must not fork: {threading.enumerate()}"


def begin(seed: int) -> tuple[World, int]:
    """The world of a seed, and how many segments its home begins with."""
    random = Random(seed)
    # Each world has some kinds of actions only: what needs many of one kind would else hardly ever come.
    weights = {name: act.weight * random.uniform(0.3, 1.7) for name, act in ACTS.items() if random.random() < 0.7}
    for name in ("small drop", "training"):
        weights.setdefault(name, ACTS[name].weight)
    keep, mode = random.choice((2, 20)), random.choice(("auto", "auto", "manual"))
    settings = Settings(
        bootstrap="none",
        retrain=Retrain(threshold_rows=random.choice((5, 50, 50)), growth=0.0, schedule="", cooldown_seconds=10.0),
        promote=Promote(mode="manual" if mode == "manual" else "auto", keep_versions=keep, live_rows=3),
        drift=Drift(check_seconds=0.0),
    )
    clock = Clock(1000.0, time.time() - 1000.0)
    actions, pace = random.randint(6, 26), random.choice((0.3, 0.6, 0.9))
    start = random.choice(templates.STARTS)
    return World(seed, random, clock, actions, pace, weights, settings.model_dump_json()), start


def make(root: Path, seed: int, home: Path, server: Postgres | None) -> World:
    """The world of a seed and the home that it begins with; all seeds have the same path, for the sake of MLflow's caches."""
    world, start = begin(seed)
    world.contents = pickle.loads((root / f"contents-{start}").read_bytes())
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(root / f"home-{start}", home, symlinks=True)
    if server is not None:
        journals.move(world, Home(home), server)
    return world


def _load(saved: Path) -> World:
    world: World = pickle.loads(saved.read_bytes())
    return world


def simulate(root: Path, seed: int, server: Postgres | None) -> World:
    """All lives of one seed; `ended` of the world that is given says `rest`, or what was violated."""
    home, saved, log = Home(root.with_name("home")), root / "world", root / f"{seed}.log"
    world = make(root, seed, home.root, server)
    saved.write_bytes(pickle.dumps(world))  # a life that crashes saves nothing

    def live() -> None:
        life = Life(world, home, saved)
        life.run()
        life.save()

    while world.lives < MOST_LIVES:
        before, code = world.lives, forked(live, log)
        world = _load(saved)
        if code not in (0, -signal.SIGKILL) or world.lives == before:
            world.ended = f"the process ended with {code}: {log.read_text()[-5000:]}"
        if world.ended not in LIVING:
            return world
    world.ended = f"no rest in {MOST_LIVES} lives"
    return world


def report(world: World, root: Path, *, trace: bool) -> bool:
    """Print what has happened, if it is wanted or something did not hold; gives whether everything held."""
    held, log = world.ended == "rest", root / f"{world.seed}.log"
    if trace or not held:
        print(f"seed {world.seed}:", *world.trace, f"=> {world.ended}", sep="\n  ", flush=True)
    if held:
        log.unlink()
        return True
    kept = root.with_name(f"seed-{world.seed}")
    shutil.copytree(root.with_name("home"), kept, symlinks=True)
    if world.server:
        copies.move_to_file(Home(kept))
    log.rename(kept / "log")
    again = f"python tests/simulation/simulate.py --first {world.seed}{' --journals server' if world.server else ''}"
    print(f"  its home and log: {kept}\n  again: {again}", flush=True)
    return False


def run(base: Path, seeds: range, places: Journals, *, trace: bool, first_only: bool) -> list[int]:
    """Run seeds one after the other, up to the first that fails if only that is wanted; prints figures, gives what failed."""
    root = base / "templates"
    root.mkdir(parents=True)
    warm(root, places)
    failed, done, steps, began = [], 0, 0, time.monotonic()
    before = sum(os.times()[:4])
    for seed in seeds:
        world = simulate(root, seed, places.of(seed))
        done, steps = done + 1, steps + world.turns
        held = report(world, root, trace=trace)
        journals.leave(Home(base / "home"), places.of(seed))
        if not held:
            failed.append(seed)
            if first_only:
                break
    for folder in (root, base / "home"):
        shutil.rmtree(folder)
    seconds, busy = round(time.monotonic() - began, 1), round(sum(os.times()[:4]) - before, 1)
    print(json.dumps({"seeds": done, "steps": steps, "failed": failed, "seconds": seconds, "cpu_seconds": busy}))
    return failed


def main() -> int:
    """Exit code 0: every seed came to rest, and everything held."""
    parser = argparse.ArgumentParser(prog="simulate.py", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--trace", action="store_true", help="print what happened, also where everything held")
    parser.add_argument("--first-only", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--folder", type=Path, help="where homes are made and failing ones are kept")
    journals.add_options(parser)
    asked = parser.parse_args()
    logs.configure(Log(format="json"))
    memory = MEMORY if MEMORY.is_dir() else None
    base = asked.folder or Path(tempfile.mkdtemp(prefix="simulation-", dir=memory))
    seeds = range(asked.first, asked.first + asked.count)
    with journals.placed(asked.journals, asked.server) as places:
        failed = run(base, seeds, places, trace=asked.trace, first_only=asked.first_only)
    if not failed and asked.folder is None:
        shutil.rmtree(base)
    return 1 if failed else 0
