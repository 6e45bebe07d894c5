"""Scores as a training would report them, for the tests of the gate."""

from typing import Any

from retraind.daemon.schema.scores import HOLDOUTS, Score


def holdout(right: int, n: int, recall: dict[str, float] | None = None) -> Score:
    recall = recall or {}
    return {"n": n, "accuracy": right / n if n else 0.0, "recall": recall, "support": dict.fromkeys(recall, n // 2)}


def scores(new: int, old: int | None, n: int = 100, **changes: Any) -> Any:
    challenger = {name: holdout(new, n) for name in HOLDOUTS}
    champion = None if old is None else {name: holdout(old, n) for name in HOLDOUTS}
    return {"challenger": challenger, "champion": champion, "champion_version": None if old is None else 7, **changes}
