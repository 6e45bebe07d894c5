"""Pictures for people who look into MLflow.

Level 2, the only module that knows matplotlib.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from daemon.schema import Schema

CONFUSION, PREDICTIONS = "confusion_matrix.png", "predicted_actual.png"

MOST_DOTS = 5000
"""More would only make the picture black, and large."""


def draw(answers: NDArray[np.float64], truth: NDArray[Any], schema: Schema, folder: Path, title: str) -> None:
    """Draw answers against the truth, as in `daemon.scores`, into a PNG in `folder`, which is made."""
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(4, 4), dpi=80)
    axes = figure.subplots()
    axes.set_title(title)
    if schema.task == "regression":
        _predictions(axes, answers[:, 0], truth, schema.target)
        figure.savefig(folder / PREDICTIONS, bbox_inches="tight")
    else:
        table = confusion_matrix(truth, answers.argmax(axis=1), labels=range(len(schema.classes)))
        names = [name[:20] for name in schema.classes]
        ConfusionMatrixDisplay(table, display_labels=names).plot(ax=axes, colorbar=False)
        figure.savefig(folder / CONFUSION, bbox_inches="tight")


def _predictions(axes: Axes, values: NDArray[np.float64], truth: NDArray[Any], target: str) -> None:
    """Each row is a dot; on the line the prediction is right."""
    ends = [float(min(values.min(), truth.min())), float(max(values.max(), truth.max()))]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.scatter(truth[:MOST_DOTS], values[:MOST_DOTS], s=8, alpha=0.6)
    # Column names are user text, and matplotlib reads what stands between dollar signs as mathematics.
    name = target[:40].replace("$", r"\$")
    axes.set_xlabel(f"{name}, actual")
    axes.set_ylabel(f"{name}, predicted")
