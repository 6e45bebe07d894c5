"""Poisoned drops of several kinds, and honest ones from a world that changes: what comes after a clean first drop."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.gate.line import FIRST, Rows, World

Attack = Callable[[World, np.random.Generator, Rows], Iterator[Rows]]
"""From a world and the first drop, the drops that come after it; there is a training after each."""

Change = Callable[[Rows, float], Rows]
"""Rows as they are when so much of a change (0-1) is done."""


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
    "no attack: 1,000 clean rows": honest,
    "5 % of the labels at random": flips(0.05),
    "20 % of the labels at random": flips(0.2),
    "50 % of the labels at random": flips(0.5),
    "class a labelled b": one_class_flipped,
    "all labelled a": all_one_class,
    "only rows of class a": only_one_class,
    "10 copies of the first rows of a": flood(0, 10),
    "5 copies of the first rows": flood(None, 5),
}
"""One drop each, as large as the first."""

DRIPS: dict[str, Attack] = {
    "no attack: 30 times 100 clean rows": drip(0.0, 30),
    "30 drips, half of a labelled b": drip(0.5, 30),
    "30 drips, 70 % of a labelled b": drip(0.7, 30),
    "15 drips, class a labelled b": drip(1.0, 15),
}
"""Many small drops each, played with the baseline and without it."""


class Changing(World):
    """A world that changes after the first drop; versions are measured in the one that it becomes."""

    def __init__(self, seed: int, change: Change) -> None:
        super().__init__(seed)
        self._change, self.progress = change, 0.0
        self.test = change(self.test, 1.0)

    def draw(self, count: int) -> Rows:
        """Clean rows as the world is by now: `progress` is 0 before and 1 after the change."""
        return self._change(super().draw(count), self.progress)


def new_rule(rows: Rows, progress: float) -> Rows:
    """What was a is b from now on, where the first column is far from zero: half of a."""
    matrix, codes = rows
    return matrix, np.where((progress == 1) & (codes == 0) & (np.abs(matrix[:, 0]) > 1.4), 1, codes)


def new_unit(rows: Rows, progress: float) -> Rows:
    """A sensor tells degrees Fahrenheit instead of Celsius."""
    matrix, codes = rows[0].copy(), rows[1]
    matrix[:, :1] = matrix[:, :1] * (1 + 0.8 * progress) + 32 * progress
    return matrix.round(4), codes


def rising(rows: Rows, progress: float) -> Rows:
    """Two columns rise slowly, as prices do: by two standard deviations in the end."""
    matrix, codes = rows[0].copy(), rows[1]
    matrix[:, :2] += 3 * progress
    return matrix.round(4), codes


def honest_days(days: int, rows: int, *, slow: bool = False) -> Attack:
    """A clean drop a day; the world has changed before the first of them, or does so from day to day."""

    def attack(world: World, _random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
        for day in range(1, days + 1):
            if isinstance(world, Changing):
                world.progress = day / days if slow else 1.0
            yield world.draw(rows)

    return attack


def mixed(days: int, lies: int, honest_rows: int) -> Attack:
    """Each day a drop in which every a is called b, and a clean one, if it has rows."""

    def attack(world: World, _random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
        for _ in range(days):
            matrix, codes = world.draw(lies)
            yield matrix, np.where(codes == 0, 1, codes)
            if honest_rows:
                yield world.draw(honest_rows)

    return attack


def one_large(days: int) -> Attack:
    """A drop of five times the first in which every a is called b, then a clean one a day."""

    def attack(world: World, _random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
        matrix, codes = world.draw(5 * FIRST)
        yield matrix, np.where(codes == 0, 1, codes)
        for _ in range(days):
            yield world.draw(FIRST // 2)

    return attack


def replayed(days: int) -> Attack:
    """The same drop in which every a is called b, each day as other bytes."""

    def attack(world: World, random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
        matrix, codes = world.draw(FIRST)
        codes = np.where(codes == 0, 1, codes)
        for _ in range(days):
            order = random.permutation(FIRST)
            yield matrix[order], codes[order]

    return attack


class Case(NamedTuple):
    """Drops that come `hours` one after the other, in a world that changes or stays."""

    attack: Attack
    hours: float
    change: Change | None = None


DAYS: dict[str, Case] = {
    "the rule changes, then 10 days of 1,000 rows": Case(honest_days(10, FIRST), 24, new_rule),
    "the rule changes, then 30 days of 100 rows": Case(honest_days(30, FIRST // 10), 24, new_rule),
    "another unit, then 10 days of 1,000 rows": Case(honest_days(10, FIRST), 24, new_unit),
    "prices rise for 20 days of 500 rows": Case(honest_days(20, FIRST // 2, slow=True), 24, rising),
    "nothing changes in 10 days of 1,000 rows": Case(honest_days(10, FIRST), 24),
    "one drop of 5,000, class a labelled b, then 10 clean days": Case(one_large(10), 24),
    "the same 1,000 rows, class a labelled b, on 10 days": Case(replayed(10), 24),
    "30 drips within an hour, class a labelled b": Case(drip(1.0, 30), 1 / 30),
    "10 days of 500 rows, class a labelled b, with 500 clean ones": Case(mixed(10, FIRST // 2, FIRST // 2), 12),
    "20 days of 100 rows, class a labelled b, with 100 clean ones": Case(mixed(20, FIRST // 10, FIRST // 10), 12),
    "20 days of 400 rows, class a labelled b, with 100 clean ones": Case(mixed(20, 400, FIRST // 10), 12),
    "10 days of 500 rows, class a labelled b, and no other source": Case(mixed(10, FIRST // 2, 0), 24),
}
"""What takes its time: the world changes honestly, or a liar wants it to look so."""
