"""Pictures for people who look into MLflow.

Level 2, the only module that knows matplotlib.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from daemon.schema import Schema


def draw_confusion(score: dict[str, Any], schema: Schema, path: Path, title: str) -> None:
    """Draw the confusion matrix of a `model.score` as a PNG; the folder of `path` is made."""
    path.parent.mkdir(exist_ok=True)
    figure = Figure(figsize=(4, 4), dpi=80)
    axes = figure.subplots()
    names = [name[:20] for name in schema.classes]
    ConfusionMatrixDisplay(np.array(score["confusion"]), display_labels=names).plot(ax=axes, colorbar=False)
    axes.set_title(title)
    figure.savefig(path, bbox_inches="tight")
