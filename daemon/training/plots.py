"""Plots of a version for people who open MLflow.

The only module that uses matplotlib. Answers and truth (n,) are as in `retraind.daemon.training.metrics`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix, roc_curve

from retraind.daemon.schema.costs import Costs, named
from retraind.daemon.schema.schema import Schema

CONFUSION, PREDICTIONS = "confusion_matrix.png", "predicted_actual.png"
RESIDUALS, ROC, CALIBRATION, IMPORTANCE = "residuals.png", "roc.png", "calibration.png", "importance.png"

MOST_DOTS = 5000
"""Maximum number of dots: more would only make the picture black and large."""

MOST_CURVES = 10
"""Number of classes (the first ones) with a separate curve."""

BINS = 10
"""Number of bins of probabilities, with equal numbers of rows."""

Matrix = NDArray[np.float64]


def draw(
    answers: Matrix, truth: NDArray[Any], schema: Schema, folder: Path, title: str, costs: Costs | None = None
) -> None:
    """Draw answers against the truth into a PNG in `folder`, which is made: a confusion matrix, or predicted by actual."""
    folder.mkdir(exist_ok=True)
    if schema.task == "regression":
        _save(folder / PREDICTIONS, title, lambda axes: _predictions(axes, answers[:, 0], truth, schema.target))
    else:
        _save(folder / CONFUSION, title, lambda axes: _confusion(axes, named(answers, costs), truth, schema))


def draw_more(
    answers: Matrix, truth: NDArray[Any], schema: Schema, folder: Path, importance: Mapping[str, float]
) -> None:
    """Draw residuals, or ROC curves (one class against the rest) and calibration; and the importance of the features."""
    if schema.task == "regression":
        _save(folder / RESIDUALS, "Residuals", lambda axes: _residuals(axes, answers[:, 0], truth, schema.target))
    else:
        _save(folder / ROC, "ROC, each class against the rest", lambda axes: _roc(axes, answers, truth, schema))
        _save(folder / CALIBRATION, "Calibration", lambda axes: _calibration(axes, answers, truth, schema))
    if importance:
        _save(folder / IMPORTANCE, "Importance by permutation", lambda axes: _importance(axes, importance))


def _save(path: Path, title: str, paint: Callable[[Axes], None]) -> None:
    figure = Figure(figsize=(4, 4), dpi=80)
    axes = figure.subplots()
    axes.set_title(_plain(title, 60))
    paint(axes)
    figure.savefig(path, bbox_inches="tight")


def _plain(text: str, most: int = 20) -> str:
    # Names are user text, and matplotlib reads text between dollar signs as mathematics.
    return text[:most].replace("$", r"\$")


def _confusion(axes: Axes, answered: NDArray[Any], truth: NDArray[Any], schema: Schema) -> None:
    table = confusion_matrix(truth, answered, labels=range(len(schema.classes)))
    names = [_plain(name) for name in schema.classes]
    ConfusionMatrixDisplay(table, display_labels=names).plot(ax=axes, colorbar=False)


def _predictions(axes: Axes, values: Matrix, truth: NDArray[Any], target: str) -> None:
    """Each row is a dot; on the line the prediction is right."""
    ends = [float(min(values.min(), truth.min())), float(max(values.max(), truth.max()))]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.scatter(truth[:MOST_DOTS], values[:MOST_DOTS], s=8, alpha=0.6)
    name = _plain(target, 40)
    axes.set_xlabel(f"{name}, actual")
    axes.set_ylabel(f"{name}, predicted")


def _residuals(axes: Axes, values: Matrix, truth: NDArray[Any], target: str) -> None:
    axes.axhline(0, color="grey", linewidth=1)
    axes.scatter(values[:MOST_DOTS], (values - truth)[:MOST_DOTS], s=8, alpha=0.6)
    axes.set_xlabel(f"{_plain(target, 40)}, predicted")
    axes.set_ylabel("predicted - actual")


def _shown(truth: NDArray[Any], schema: Schema) -> list[int]:
    """The classes that get a curve: those that some rows have and some have not. Of two classes, only the second."""
    codes = range(1, 2) if len(schema.classes) == 2 else range(len(schema.classes))
    return [code for code in codes if 0 < (truth == code).sum() < len(truth)][:MOST_CURVES]


def _roc(axes: Axes, answers: Matrix, truth: NDArray[Any], schema: Schema) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for code in _shown(truth, schema):
        wrong, right, _ = roc_curve(truth == code, answers[:, code])
        axes.plot(wrong, right, label=_plain(schema.classes[code]))
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    _legend(axes)


def _calibration(axes: Axes, answers: Matrix, truth: NDArray[Any], schema: Schema) -> None:
    """Predicted against observed shares; on the line, probabilities are correct."""
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for code in _shown(truth, schema):
        bins = np.array_split(np.argsort(answers[:, code], kind="stable"), min(BINS, len(truth)))
        said = [answers[rows, code].mean() for rows in bins]
        true = [(truth[rows] == code).mean() for rows in bins]
        axes.plot(said, true, marker="o", markersize=3, label=_plain(schema.classes[code]))
    axes.set_xlabel("probability")
    axes.set_ylabel("observed share")
    _legend(axes)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def _importance(axes: Axes, importance: Mapping[str, float]) -> None:
    """The twenty most important features, the first on top."""
    first = sorted(importance.items(), key=lambda one: -one[1])[:20][::-1]
    axes.barh(range(len(first)), [value for _, value in first])
    axes.set_yticks(range(len(first)), [_plain(name) for name, _ in first])
    axes.set_xlabel("fall of the score")
