"""Iris-like rows, made on the fly: real Iris flowers with a little noise, so that no two files have the same bytes."""

import random

from sklearn.datasets import load_iris

from retraind.daemon.service.bootstrap import FEATURES, TARGET

_iris = load_iris()


def header() -> str:
    """The first line of a CSV file."""
    return ",".join((*FEATURES, TARGET)) + "\n"


def lines(source: random.Random, count: int) -> str:
    """`count` labelled lines, classes in turn; `source` decides on flowers and noise (centimetres)."""
    made = []
    for number in range(count):
        code = number % 3
        flower = _iris.data[code * 50 + source.randrange(50)]
        values = (f"{max(0.1, value + source.gauss(0, 0.05)):.2f}" for value in flower)
        made.append(",".join((*values, str(_iris.target_names[code]))) + "\n")
    return "".join(made)
