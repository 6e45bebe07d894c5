"""What an exam finds before a drop is trained on, and how often a clean drop is called suspicious.

Run it with `python -m benchmarks.gate.exams`. In each world a forest learns 800 clean rows and promises its score on 200 others; then
it examines drops of several sizes: clean ones, those of `benchmarks/gate/attacks.py`, and some in which a column has another unit.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.figures import show
from benchmarks.gate.attacks import ATTACKS, Attack
from benchmarks.gate.line import FIRST, Rows, World
from retraind.daemon.ingest.exam_scores import Exam, ExpectedError, examine
from retraind.daemon.training.selection import candidates

SIZES = (20, 50, 200, 1000)
"""Rows of a drop."""


def unit(factor: float, offset: float = 0.0) -> Attack:
    """A drop in which the first column is in another unit."""

    def attack(world: World, _random: np.random.Generator, _first: Rows) -> Iterator[Rows]:
        matrix, codes = world.draw(FIRST)
        matrix = matrix.copy()
        matrix[:, 0] = matrix[:, 0] * factor + offset
        yield matrix, codes

    return attack


UNITS: dict[str, Attack] = {
    "a column times 1,000": unit(1000.0),
    "a column times 2.54": unit(2.54),
    "a column from °C to °F": unit(1.8, 32.0),
}


_models: dict[int, Any] = {}


def _fitted(seed: int, world: World, first: Rows) -> Any:
    """The version of a world, fitted once."""
    if seed not in _models:
        _models[seed] = candidates.build("forest", world.schema, 0).fit(first[0][:800], first[1][:800])
    return _models[seed]


class Pupil:
    """A version of one world, and what it promised."""

    def __init__(self, seed: int) -> None:
        self.world, self.random = World(seed), np.random.default_rng(seed)
        self.first = self.world.draw(FIRST)
        matrix, codes = self.first
        self._training = matrix[:800]
        self._model = _fitted(seed, self.world, self.first)
        names, counts = np.unique(codes[800:], return_counts=True)
        error = float(np.mean(self._model.predict(matrix[800:]) != codes[800:]))
        self._expected = ExpectedError(
            error, 200, {self.world.schema.classes[code]: n for code, n in zip(names, counts, strict=True)}
        )

    def examine(self, rows: Rows, before: list[Exam]) -> Exam:
        """The exam of one drop."""
        matrix, codes = rows
        schema = self.world.schema
        truths = [schema.classes[code] for code in codes]
        answers = np.zeros((len(matrix), len(schema.classes)))
        answers[:, self._model.classes_] = self._model.predict_proba(matrix)
        return examine(schema, 1, self._expected, self._training, matrix, truths, answers, before)


def count_suspicious(attack: Attack, seeds: int, size: int) -> str:
    """How many of the drops of an attack are suspicious."""
    odd, of = 0, 0
    for seed in range(seeds):
        pupil = Pupil(seed)
        for matrix, codes in attack(pupil.world, pupil.random, pupil.first):
            chosen = pupil.random.permutation(len(matrix))[:size]
            odd, of = odd + bool(pupil.examine((matrix[chosen], codes[chosen]), []).reasons), of + 1
    return f"{odd} of {of}"


def clean(seeds: int, size: int) -> str:
    """How many clean drops, one after the other, are suspicious."""
    odd, of = 0, 0
    for seed in range(seeds):
        pupil, before = Pupil(seed), list[Exam]()
        for _ in range(min(50, 20_000 // size)):
            exam = pupil.examine(pupil.world.draw(size), before)
            before.insert(0, exam)
            odd, of = odd + bool(exam.reasons), of + 1
    return f"{odd} of {of}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate.exams", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="worlds (default 10)")
    seeds = parser.parse_args().seeds
    rows: list[list[str]] = [["clean drops", *(clean(seeds, size) for size in SIZES)]]
    for name, attack in {**ATTACKS, **UNITS}.items():
        rows.append([name, *(count_suspicious(attack, seeds, size) for size in SIZES)])
    show("Suspicious, by rows of a drop", ["drop", *map(str, SIZES)], rows)


if __name__ == "__main__":
    main()
