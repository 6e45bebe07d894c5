"""What the gate stops: the poisoned drops of `attacks.py`, trained on and judged as the daemon does it, without processes.

Run it with `python -m benchmarks.gate.poison`. Every case starts from a champion that was trained on 1,000 clean rows; the poisoned drops
come after it. What a challenger is really worth is measured on 20,000 clean rows that nothing else sees.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.figures import show
from benchmarks.gate.attacks import ATTACKS, DAYS, DRIPS, Attack, Case, Change, Changing
from benchmarks.gate.line import CANDIDATES, FIRST, Judged, Line, World
from retraind.daemon.core.settings import Promote

DAMAGE = 0.02
"""What a challenger must lose in accuracy on clean rows to count as damaged: the default promote.tolerance."""

QUICK = ("logistic", "tree")
"""Candidates of the drips: so many trainings with a forest would take an hour."""


def play(
    attack: Attack,
    seed: int,
    folder: Path,
    promote: Promote,
    names: Sequence[str] = CANDIDATES,
    hours: float = 0.0,
    change: Change | None = None,
) -> tuple[list[Judged], float]:
    """One case: the trainings after the first champion, and what the version loses that serves in the end."""
    world = World(seed) if change is None else Changing(seed, change)
    random = np.random.default_rng(seed)
    line, first = Line(folder, world, promote, names), world.draw(FIRST)
    line.drop(first)
    line.train()
    judged = []
    for rows_dropped in attack(world, random, first):
        line.drop(rows_dropped, timedelta(hours=hours))
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


def case(chosen: Case, seeds: Iterable[int], promote: Promote, names: Sequence[str]) -> list[str]:
    """One attack with several seeds as a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        rest = promote, names, chosen.hours, chosen.change
        return summary([play(chosen.attack, seed, Path(folder) / str(seed), *rest) for seed in seeds])


class Row(NamedTuple):
    """A row of the table before it is played; `title` is that of its case, which `--only` looks in."""

    name: str
    title: str
    case: Case
    promote: Promote
    names: Sequence[str]


def rows(*, days: bool) -> Iterator[Row]:
    """All rows of the table, or only those of what takes days."""
    usual = Promote()
    for name, attack in ({} if days else ATTACKS).items():
        yield Row(name, name, Case(attack, 0), usual, CANDIDATES)
    for name, attack in ({} if days else DRIPS).items():
        yield Row(name, name, Case(attack, 0), usual, QUICK)
        yield Row("the same without the baseline", name, Case(attack, 0), Promote(baseline_versions=0), QUICK)
    for name, case in DAYS.items():
        yield Row(name, name, case, usual, QUICK)
        if case.change:
            yield Row("the same with promote.follow_days = 0", name, case, Promote(follow_days=0), QUICK)


def main() -> None:
    """Play every attack with several seeds and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate.poison", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="worlds in which each attack is played (default 10)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them (default 0)")
    parser.add_argument("--days", action="store_true", help="only what takes days")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with this in their name")
    chosen = parser.parse_args()
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    played = [row for row in rows(days=chosen.days) if chosen.only in row.title]
    table = [[row.name, *case(row.case, seeds, row.promote, row.names)] for row in played]
    columns = ["drops after 1,000 clean rows", "trainings", "loss, median", "harmful stopped", "harmless stopped"]
    show("What the gate stops", [*columns, "served loses, median", "worst"], table)


if __name__ == "__main__":
    main()
