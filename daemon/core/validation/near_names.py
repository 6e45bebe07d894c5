"""Names that may mean the same column: they differ in case, blanks, accents, a few letters or a word."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher

CLOSE = 0.75
"""Minimum similarity of the letters of two names (0-1)."""

MOST = 3
"""Maximum number of similar names."""

EXPANDED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa"})


def like(name: str, names: Iterable[str]) -> list[str]:
    """Those of the names that may mean `name`, the most similar first, at most MOST."""
    scored = [(_similarity(name, other), other) for other in names]
    close = sorted((one for one in scored if one[0] >= CLOSE), key=lambda one: -one[0])
    return [other for _, other in close[:MOST]]


def pairs(absent: Iterable[str], present: Collection[str]) -> dict[str, str]:
    """For absent names the most similar present one; each of these at most once."""
    free, close_names = list(present), {}
    for name in absent:
        if close := like(name, free):
            close_names[name] = close[0]
            free.remove(close[0])
    return close_names


def _similarity(one: str, other: str) -> float:
    """1 if both are spelt alike; a name that is a word of the other counts as close."""
    spellings = [(_folded(one), _folded(other)), (_bare(one), _bare(other))]
    if any(mine == theirs for mine, theirs in spellings):
        return 1.0
    words = [set(re.findall(r"\w+", _bare(name))) for name in (one, other)]
    if words[0] and words[1] and (words[0] <= words[1] or words[1] <= words[0]):
        return 0.9
    return max(SequenceMatcher(None, mine, theirs).ratio() for mine, theirs in spellings)


def _folded(name: str) -> str:
    """Small letters and digits only; an umlaut is written as two letters."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", name).casefold().translate(EXPANDED))


def _bare(name: str) -> str:
    """Small letters without accents; an underscore is a blank."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).replace("_", " ").strip()
