"""What moved an answer, as a section of a page: the answer, its probabilities, and a bar for each feature."""

from collections.abc import Mapping
from typing import Any, TypedDict

LISTED = 12
"""Number of classes and of features that are listed; the others are behind a summary."""

UNITS = {
    "probability": "in probability",
    "value": "in units of the target",
    "log-odds": "in log-odds",
    "score": "in the model's score before it is corrected to a probability",
}


class Bar(TypedDict):
    """One feature; `start` and `length` of its bar in percent of half of the width, from the middle."""

    feature: str
    value: str
    contribution: float
    error: float | None
    start: float
    length: float


class Moved(TypedDict):
    """The explanation of one answer."""

    version: int
    answer: str
    share: float | None
    """Its probability; None for a regression."""
    shares: list[tuple[str, float]]
    """The probability of each class, the likeliest first."""
    scale: str
    unit: str
    base: float
    reached: float
    method: str
    bars: list[Bar]
    sentence: str
    """For a screen reader."""


def of(explained: Mapping[str, Any]) -> Moved:
    """The section for the answer of POST /explain."""
    shares = explained.get("probabilities")
    answer = explained["prediction"] if shares else f"{explained['prediction']:,.6g}"
    share = shares[answer] if shares else None
    most = max((abs(entry["contribution"]) for entry in explained["features"]), default=0.0) or 1.0
    first = f" {explained['features'][0]['feature']} moved it most." if explained["features"] else ""
    sure = f", probability {share:.3f}" if share is not None else ""
    return {
        "version": explained["version"],
        "answer": answer,
        "share": share,
        "shares": sorted((shares or {}).items(), key=lambda item: -item[1]),
        "scale": explained["scale"],
        "unit": UNITS[explained["scale"]],
        "base": explained["base"],
        "reached": explained["answer"],
        "method": explained["method"],
        "bars": [_bar(entry, most) for entry in explained["features"]],
        "sentence": f"Version {explained['version']} answers {answer}{sure}.{first}",
    }


def _bar(entry: Mapping[str, Any], most: float) -> Bar:
    length = 50.0 * abs(entry["contribution"]) / most
    value = entry["value"]
    return {
        "feature": entry["feature"],
        "value": "missing" if value is None else str(value).lower() if isinstance(value, bool) else str(value),
        "contribution": entry["contribution"],
        "error": entry.get("error"),
        "start": 50.0 - (length if entry["contribution"] < 0 else 0.0),
        "length": length,
    }
