"""Schemas of predictions that get labels."""

from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema

WIDE = Schema(
    target="grade",
    classes=["low", "high", "7"],
    columns=[
        Column(name="weight", kind="number", missing=True),
        Column(name="count", kind="integer"),
        Column(name="fresh", kind="boolean", missing=True),
        Column(name="colour", kind="category", categories=["red", "blue"]),
        Column(name="day", kind="date"),
    ],
)


PRICES = Schema(task="regression", target="price", columns=[Column(name="area", kind="number")])
