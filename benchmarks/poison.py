"""What the gate stops: poisoned drops of several kinds, trained on and judged as the daemon does it, without processes.

Run it with `python -m benchmarks.poison`. Every case starts from a champion that learnt 1,000 clean rows; the poisoned drops
come after it. What a challenger is really worth is measured on 20,000 clean rows that nobody else sees.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.figures import show
from benchmarks.line import CANDIDATES, FIRST, Judged, Line, Rows, World
from daemon.settings import Promote

DAMAGE = 0.02
"""What a challenger must lose in accuracy on clean rows to count as damaged: the default promote.tolerance."""

Attack = Callable[[World, np.random.Generator, Rows], Iterator[Rows]]
"""From a world and the first drop, the drops that come after it; there is a training after each."""


def flips(share: float) -> Attack:
    """A drop in which this share of the rows has another class, at random."""

    def attack(world: World, random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
        matrix, codes = world.draw(FIRST)
        wrong = random.random(FIRST) < share
        yield matrix, np.where(wrong, (codes + random.integers(1, 3, FIRST)) % 3, codes)

    return attack


def one_class_flipped(world: World, _random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
    """A drop in which every a is called b."""
    matrix, codes = world.draw(FIRST)
    yield matrix, np.where(codes == 0, 1, codes)


def all_one_class(world: World, _random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
    """A drop in which everything is called a."""
    matrix, codes = world.draw(FIRST)
    yield matrix, np.zeros_like(codes)


def only_one_class(world: World, _random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
    """A drop with nothing but true rows of class a: it tells no lie, but shifts what is common."""
    yield world.of_class(0, FIRST)


def flood(code: int | None, copies: int) -> Attack:
    """Rows of the first drop again and again, all or those of one class, each time as other bytes."""

    def attack(_world: World, random: np.random.Generator, first: Rows) -> Iterator[Rows]:
        chosen = np.flatnonzero(np.ones(len(first[1])) if code is None else first[1] == code)
        again = np.concatenate([random.permutation(chosen) for _ in range(copies)])
        yield first[0][again], first[1][again]

    return attack


def drip(share: float, drops: int) -> Attack:
    """Small drops, each a tenth of the first; in each this share of the rows of class a is called b."""

    def attack(world: World, random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
        for _ in range(drops):
            matrix, codes = world.draw(FIRST // 10)
            yield matrix, np.where((codes == 0) & (random.random(len(codes)) < share), 1, codes)

    return attack


def honest(world: World, _random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
    """A clean drop."""
    yield world.draw(FIRST)


ATTACKS: dict[str, Attack] = {
    "none: 1,000 clean rows": honest,
    "5 % of the labels at random": flips(0.05),
    "20 % of the labels at random": flips(0.2),
    "50 % of the labels at random": flips(0.5),
    "every a called b": one_class_flipped,
    "everything called a": all_one_class,
    "true rows of class a only": only_one_class,
    "the first rows of a, 10 times more": flood(0, 10),
    "all the first rows, 5 times more": flood(None, 5),
}
"""One drop each, as large as the first."""

DRIPS: dict[str, Attack] = {
    "none: 30 times 100 clean rows": drip(0.0, 30),
    "30 drips, half of a called b": drip(0.5, 30),
    "30 drips, 70 % of a called b": drip(0.7, 30),
    "15 drips, every a called b": drip(1.0, 15),
}
"""Many small drops each, played with the baseline and without it."""

QUICK = ("logistic", "tree")
"""Candidates of the drips: so many trainings with a forest would take an hour."""


def play(
    attack: Attack, seed: int, folder: Path, promote: Promote, names: Sequence[str] = CANDIDATES
) -> tuple[list[Judged], float]:
    """One case: the trainings after the first champion, and what the version loses that serves in the end."""
    world, random = World(seed), np.random.default_rng(seed)
    line, first = Line(folder, world, promote, names), world.draw(FIRST)
    line.drop(first)
    line.train()
    judged = []
    for given in attack(world, random, first):
        line.drop(given)
        judged.append(line.train())
    return judged, line.loss


def summary(played: Sequence[tuple[list[Judged], float]]) -> list[str]:
    """One row of the table, from the cases of one attack."""
    judged = [one for trainings, _ in played for one in trainings]
    bad, good = ([one for one in judged if (one.loss > DAMAGE) is damaged] for damaged in (True, False))
    lost = [loss for _, loss in played]
    return [
        f"{len(judged)}",
        f"{statistics.median(one.loss for one in judged):+.3f}",
        f"{sum(not one.promoted for one in bad)} of {len(bad)}",
        f"{sum(not one.promoted for one in good)} of {len(good)}",
        f"{statistics.median(lost):+.3f}",
        f"{max(lost):+.3f}",
    ]


def case(attack: Attack, seeds: int, baseline: int, names: Sequence[str]) -> list[str]:
    """One attack with several seeds as a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Promote(baseline_versions=baseline)
        return summary([play(attack, seed, Path(folder) / str(seed), settings, names) for seed in range(seeds)])


def main() -> None:
    """Play every attack with several seeds and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.poison", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="worlds in which each attack is played (default 10)")
    seeds, usual = parser.parse_args().seeds, Promote().baseline_versions
    table = [[name, *case(attack, seeds, usual, CANDIDATES)] for name, attack in ATTACKS.items()]
    for name, attack in DRIPS.items():
        table.append([name, *case(attack, seeds, usual, QUICK)])
        table.append(["the same without the baseline", *case(attack, seeds, 0, QUICK)])
    columns = ["drops after 1,000 clean rows", "trainings", "loss, median", "harmful stopped", "harmless stopped"]
    show("What the gate stops", [*columns, "served loses, median", "worst"], table)


if __name__ == "__main__":
    main()
