"""Models: thirteen public sets, our version as it is served beside what people would pick instead, same rows and time.

Run it with `python -m benchmarks.train.models --cache FOLDER`. Peers and sets need the environment of `benchmarks/peers/models.txt`,
which is made in the folder; what peers answered is kept there and asked again for other seconds only.
"""

import argparse
import csv
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from benchmarks.figures import figure, show
from benchmarks.harness import ROOT
from benchmarks.serve import serve_peers

PEERS = ("histogram", "lightgbm", "flaml")
"""scikit-learn's histogram boosting and LightGBM with their defaults; FLAML for the seconds."""

QUICK, QUICK_SECONDS = ("penguins", "wages", "concrete"), 5.0
NEAR, FAR = 0.005, 0.01
"""Within NEAR of the best peer is level; ours must not be more than FAR behind scikit-learn's default."""

TARGET = 11
PATIENCE = 1200

BOTH_CORES = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
"""For the peers. Ours has one thread, as the daemon gives its trainer: the other core is for predictions."""


@dataclass(frozen=True)
class Figures:
    """What one model's answers to the rows of test.csv are worth: accuracy or R², log loss or RMSE, seconds to fit, which it was."""

    score: float
    loss: float
    seconds: float
    name: str
    by_row: NDArray[np.float64]
    """For each test row, (n,): 1 or 0 for a wrong or a right answer, or the squared error."""


def scored(answered: dict[str, Any], folder: Path) -> Figures:
    """The figures of one program's answers."""
    facts = json.loads((folder / "set.json").read_text())
    with (folder / "test.csv").open(newline="") as file:
        truth = [row[facts["target"]] for row in csv.DictReader(file)]
    name = str(answered.get("candidate", ""))
    if facts["task"] == "regression":
        values, expected = np.array(answered["values"]), np.array(truth, dtype=np.float64)
        squares = (values - expected) ** 2
        error = float(squares.mean())
        return Figures(1 - error / float(expected.var()), math.sqrt(error), answered["seconds"], name, squares)
    shares, classes = np.clip(np.array(answered["probabilities"]), 1e-15, None), answered["classes"]
    places = np.array([classes.index(one) for one in truth])
    loss = -np.log((shares / shares.sum(axis=1, keepdims=True))[np.arange(len(places)), places])
    wrong = (shares.argmax(axis=1) != places).astype(np.float64)
    return Figures(1 - float(wrong.mean()), float(loss.mean()), answered["seconds"], name, wrong)


def sets(python: Path, cache: Path) -> list[Path]:
    """The folders of all sets, written if they are not there."""
    folder, done = cache / "sets", cache / "sets/done"
    if not done.exists():
        subprocess.run([str(python), str(ROOT / "benchmarks/peers/models.py"), "sets", str(folder)], check=True)
        done.touch()
    return sorted(path.parent for path in folder.glob("*/set.json"))


def peer(python: Path, name: str, folder: Path, seconds: float) -> Figures:
    """A peer's figures on a set; its answers are kept beside the set."""
    kept = folder / f"{name}-{seconds:g}.json"
    if not kept.exists():
        command = [str(python), str(ROOT / "benchmarks/peers/models.py"), name, str(folder), f"{seconds:g}"]
        kept.write_text(_said(command, serve_peers.QUIET | BOTH_CORES))
    return scored(json.loads(kept.read_text()), folder)


def ours(folder: Path, settings: Sequence[str]) -> Figures:
    """The figures of the version that a drop of the set would make served."""
    command = [sys.executable, "-m", "benchmarks.train.models_ours", str(folder), *settings]
    return scored(json.loads(_said(command, serve_peers.QUIET)), folder)


def _said(command: Sequence[str], threads: Mapping[str, str]) -> str:
    env = os.environ | threads
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-1500:]}")
    return done.stdout.strip().splitlines()[-1]


@dataclass(frozen=True)
class Line:
    """One set: what all programs reached on it."""

    name: str
    peers: dict[str, Figures]
    default: Figures
    tuned: Figures

    @property
    def best(self) -> float:
        """The best peer's score."""
        return max(one.score for one in self.peers.values())

    @property
    def chance(self) -> float:
        """How often chance alone would set ours and the best peer so far apart on these rows, of paired t-tests (two-sided p)."""
        peer = max(self.peers.values(), key=lambda one: one.score)
        apart = self.tuned.by_row - peer.by_row
        return float(ttest_1samp(apart, 0.0).pvalue) if apart.any() else 1.0

    def row(self) -> list[str]:
        """The line of the table."""
        figures = [figure(self.peers[name].score, 4) for name in PEERS]
        mine = [figure(one.score, 4) for one in (self.default, self.tuned)]
        seconds = [figure(one.seconds, 1) for one in (self.default, self.tuned)]
        apart = [f"{self.tuned.score - self.best:+.4f}", figure(self.chance, 2)]
        return [self.name, *figures, *mine, *apart, *seconds, self.tuned.name]


COLUMNS = ("set", *PEERS, "ours", "ours, tuned", "to the best peer", "p", "s", "s tuned", "winner")


def losses(lines: Sequence[Line]) -> list[list[str]]:
    """Log loss or RMSE of all programs; the smaller the better."""
    return [
        [
            line.name,
            *(f"{line.peers[name].loss:.4g}" for name in PEERS),
            *(f"{one.loss:.4g}" for one in (line.default, line.tuned)),
        ]
        for line in lines
    ]


def summary(lines: Sequence[Line]) -> str:
    """How often ours is level with the best peer, and how far it is behind scikit-learn's default at worst."""
    said = []
    for name in ("default", "tuned"):
        mine = [(getattr(line, name).score, line) for line in lines]
        level = sum(score >= line.best - NEAR for score, line in mine)
        worst = min(score - line.peers["histogram"].score for score, line in mine)
        said.append(
            f"{name}: within {NEAR} of the best peer or better on {level} of {len(lines)} (target {TARGET} of 13), "
            f"to scikit-learn's default at worst {worst:+.4f} (target -{FAR}), "
            f"median to the best peer {statistics.median(score - line.best for score, line in mine):+.4f}"
        )
    return "\n".join(said)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train.models", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder for the peers' environment, sets and answers")
    parser.add_argument("--seconds", type=float, default=30.0, help="for FLAML, and for our tuning (default 30)")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} only, {QUICK_SECONDS:g} s")
    parser.add_argument("--sets", nargs="*", default=[], help="these sets only")
    parser.add_argument("--set", dest="settings", nargs="*", default=[], help="settings of [train], name=JSON")
    options = parser.parse_args()
    seconds = QUICK_SECONDS if options.quick else options.seconds
    names = set(options.sets or (QUICK if options.quick else ()))
    python = serve_peers.python_of("models", options.cache.resolve())
    lines = []
    for folder in sets(python, options.cache.resolve()):
        if names and folder.name not in names:
            continue
        answered = {name: peer(python, name, folder, seconds) for name in PEERS}
        tuned = ours(folder, [*options.settings, f"tune_seconds={seconds:g}"])
        lines.append(Line(folder.name, answered, ours(folder, options.settings), tuned))
        print(" ".join(lines[-1].row()), file=sys.stderr, flush=True)
    show(f"Accuracy or R² on 25 % of each set, trained on 75 %; {seconds:g} s", COLUMNS, [line.row() for line in lines])
    show("Log loss or RMSE", COLUMNS[:6], losses(lines))
    print(summary(lines))


if __name__ == "__main__":
    main()
