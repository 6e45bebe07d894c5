"""Tiles: how an answer of the dashboard is made up. Pure functions.

A state is a word, a shape and a colour; `unknown` is a state of its own and never counts as good.
"""

from collections.abc import Sequence
from typing import Any

Answer = dict[str, Any]

STATES = {"ok": ("✔", "OK"), "watch": ("▲", "WATCH"), "act": ("✖", "ACT"), "unknown": ("?", "UNKNOWN")}
"""State to shape and word; the style sheet adds the colour."""


def answer(state: str, headline: str, sentence: str, facts: Sequence[Answer] = (), at: str | None = None) -> Answer:
    """One tile: state with shape and word, a headline (with a time, if `at`), a sentence and facts."""
    shape, word = STATES[state]
    tile = {"state": state, "shape": shape, "word": word, "headline": headline, "sentence": sentence}
    return {**tile, "at": at, "facts": list(facts)}


def fact(label: str, value: str = "", note: str = "", at: str | None = None) -> Answer:
    """One line of a tile; `note` holds n, window or the setting's key, `at` a UTC time shown instead of the value."""
    return {"label": label, "value": value, "note": note, "at": at}


def size(count: int) -> str:
    """Bytes for people, decimal units."""
    amount, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units[:-1]:
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} {units[-1]}"
