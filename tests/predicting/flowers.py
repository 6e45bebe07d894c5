"""Homes and files for the tests of `retraind predict`; a test module makes a fixture of `flower_home`."""

import csv
import io
from typing import Any

import bundles

from retraind.daemon.core.home import Home
from retraind.daemon.schema.schema import Schema


def flower_home(home: Home) -> Home:
    """A home that serves version 1, and has judged version 2, which prefers another class."""
    bundles.record(home, bundles.make(home, 2, favourite=2))
    bundles.point(home, bundles.make(home, 1))
    return home


def price_home(home: Home, **changes: Any) -> Home:
    """A home that serves prices, whose columns are of every kind; `changes` of its schema."""
    bundles.point(home, bundles.make_prices(home, 1, Schema.model_validate(bundles.PRICES.model_dump() | changes)))
    return home


def read(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV text."""
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.0, 2.9, 4.5, 1.5], [6.9, 3.1, 5.4, 2.1]]


HEADER = ",".join(["id", *bundles.NAMES])


FLOWER_FILE = "\n".join([HEADER, *(f"{n},{','.join(map(str, row))}" for n, row in enumerate(FLOWERS))]) + "\n"
