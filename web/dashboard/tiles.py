"""Tiles: the parts of the dashboard's answers. Pure functions.

A state is a word, a shape and a colour; `unknown` is a separate state and never counts as good.
"""

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

State = Literal["ok", "watch", "act", "unknown"]

STATES: dict[State, tuple[str, str]] = {
    "ok": ("✔", "OK"),
    "watch": ("▲", "WATCH"),
    "act": ("✖", "ACT"),
    "unknown": ("?", "UNKNOWN"),
}
"""State to shape and word; the style sheet adds the colour."""


class Fact(TypedDict):
    """One line of a tile."""

    label: str
    value: str
    note: str
    """n, window or the setting's key."""
    at: str | None
    """UTC time that is shown instead of the value."""
    share: NotRequired[float]
    """From 0 to 1, shown as a bar."""


class Verdict(TypedDict):
    """A state with its shape, a word and a sentence."""

    state: State
    shape: str
    word: str
    sentence: str


class Tile(Verdict):
    """The answer to one question of the page."""

    headline: str
    at: str | None
    """UTC time that belongs to the headline."""
    facts: list[Fact]


def tile(state: State, headline: str, sentence: str, facts: Sequence[Fact] = (), at: str | None = None) -> Tile:
    """One tile: state with shape and word, a headline (with a time, if `at`), a sentence and facts."""
    shape, word = STATES[state]
    return {
        "state": state,
        "shape": shape,
        "word": word,
        "headline": headline,
        "sentence": sentence,
        "at": at,
        "facts": list(facts),
    }


def fact(label: str, value: str = "", note: str = "", at: str | None = None) -> Fact:
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
