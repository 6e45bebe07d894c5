"""Charts of an evaluation: curves of classes, calibration, residuals."""

from collections.abc import Sequence
from typing import TypedDict

from retraind.daemon.artifacts.evaluation import Calibration, ClassCurves, Evaluation, Residuals
from retraind.daemon.schema.score_names import counted, plain
from retraind.web.dashboard.quality import wilson
from retraind.web.pages.plots import Canvas, Plot, Point

MOST_LINES = 5
"""Number of classes that are drawn, those with the smallest areas; a table has all."""

UNIT = (0.0, 1.0)


class Charts(TypedDict):
    """The charts of one evaluation; None where it has no such data."""

    n: int
    total: int
    drawn: list[ClassCurves]
    curves: list[ClassCurves]
    classes: int
    roc: Plot | None
    precision_recall: Plot | None
    calibration: Calibration | None
    reliability: Plot | None
    residuals: Residuals | None
    histogram: Plot | None
    by_answer: Plot | None


def of(evaluation: Evaluation) -> Charts:
    """The charts."""
    curves = evaluation.get("curves") or []
    drawn = sorted(curves, key=lambda curve: curve["roc_auc"])[:MOST_LINES]
    calibration, residuals = evaluation.get("calibration"), evaluation.get("residuals")
    return {
        "n": evaluation["n"],
        "total": evaluation["total"],
        "drawn": drawn,
        "curves": curves,
        "classes": evaluation.get("classes", 0),
        "roc": _roc(drawn) if drawn else None,
        "precision_recall": _precision_recall(drawn) if drawn else None,
        "calibration": calibration,
        "reliability": _reliability(calibration) if calibration else None,
        "residuals": residuals,
        "histogram": _histogram(residuals) if residuals else None,
        "by_answer": _by_answer(residuals) if residuals else None,
    }


def _roc(drawn: Sequence[ClassCurves]) -> Plot:
    canvas = Canvas(UNIT, UNIT)
    plot = canvas.plot("ROC curves", "false positive rate", "true positive rate", [(0, 0), (1, 1)])
    plot["lines"] = [{"points": canvas.points(curve["roc"]), "name": curve["name"]} for curve in drawn]
    return plot


def _precision_recall(drawn: Sequence[ClassCurves]) -> Plot:
    canvas = Canvas(UNIT, UNIT)
    plot = canvas.plot("Precision-recall curves", "recall", "precision")
    plot["lines"] = [{"points": canvas.points(_from_left(curve)), "name": curve["name"]} for curve in drawn]
    return plot


def _from_left(curve: ClassCurves) -> list[Point]:
    """The curve from recall 0, where it has the precision of its first point."""
    points = curve["precision_recall"]
    return [(0.0, points[0][1]), *points] if points else []


def _reliability(calibration: Calibration) -> Plot:
    canvas = Canvas(UNIT, UNIT)
    plot = canvas.plot("Confidence against accuracy", "confidence", "share of right answers", [(0, 0), (1, 1)])
    for each in calibration["bins"]:
        low, high = wilson(each["right"], each["n"])
        title = f"confidence {each['confidence']:.2f}: {each['right']:.0%} of {counted(each['n'], 'row')} are right"
        plot["dots"].append(canvas.dot(each["confidence"], each["right"], low, high, title))
    return plot


def _histogram(residuals: Residuals) -> Plot:
    edges, counts = residuals["edges"], residuals["counts"]
    canvas = Canvas((edges[0], edges[-1]), (0.0, float(max(counts, default=0)) or 1.0))
    plot = canvas.plot("Histogram of answer minus truth", "answer minus truth", "rows")
    for start, end, count in zip(edges, edges[1:], counts, strict=False):
        title = f"{plain(start, 3)} to {plain(end, 3)}: {counted(count, 'row')}"
        plot["bars"].append(canvas.bar(start, end, count, title))
    return plot


def _by_answer(residuals: Residuals) -> Plot:
    bins = residuals["bins"]
    answers = [each["answer"] for each in bins]
    ends = [*(each["low"] for each in bins), *(each["high"] for each in bins), 0.0]
    canvas = Canvas((min(answers), max(answers)), (min(ends), max(ends)))
    zero = [(canvas.x.low, 0.0), (canvas.x.high, 0.0)]
    plot = canvas.plot("Answer minus truth by answer", "answer", "answer minus truth", zero)
    for each in bins:
        middle, low, high = (plain(each[part], 3) for part in ("middle", "low", "high"))
        title = f"answers of about {plain(each['answer'], 3)}: {middle} ({low} to {high}), {counted(each['n'], 'row')}"
        plot["dots"].append(canvas.dot(each["answer"], each["middle"], each["low"], each["high"], title))
    return plot
