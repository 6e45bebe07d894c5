"""The trainer's imports: first those that every training needs before registering, then, while it is idle, the rest.

No import may leave a thread or a database connection behind, because a fork would inherit half of it.
"""

import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from retraind.daemon.registry import migrations, registry
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training import run

PICTURES = (
    *(
        "matplotlib",
        "matplotlib.cm",
        "matplotlib.text",
        "matplotlib.axes",
        "matplotlib.projections",
        "matplotlib.figure",
    ),
    "retraind.daemon.training.plots",
)
"""Imports for pictures, each in a separate step: together they take half a second."""

TOYS = [
    Schema(target="y", classes=["a", "b"], columns=[Column(name="x", kind="number")]),
    Schema(task="regression", target="y", columns=[Column(name="x", kind="number")]),
]


def load() -> None:
    """Import the modules that every training needs before its version is registered."""
    assert run
    registry.load()


def steps() -> Iterator[None]:
    """Do the remaining imports in steps of at most a fifth of a second, so that a new job hardly waits."""
    migrations.remember_layout()
    yield
    for name in PICTURES:
        importlib.import_module(name)
        yield
    for schema in TOYS:
        _draw(schema)
        yield


def _draw(schema: Schema) -> None:
    """Draw a first picture, which loads fonts and the renderer."""
    from retraind.daemon.training import plots

    truth = np.arange(40) % 2
    answers = np.full((40, len(schema.classes) or 1), 0.5)
    with tempfile.TemporaryDirectory() as folder:
        plots.draw(answers, truth, schema, Path(folder), "")
