"""Words: encodes a text as numbers for its words, in the same way for a file, a request and a late label.

Shared with `web`; pure functions. A word is a number made of BITS bits of its checksum, so no vocabulary is needed.
THREE of them share one double, so a text of any length takes `SLOTS` numbers of a row.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import chain, islice, pairwise
from zlib import crc32

MOST_TEXT = 10_000
"""Maximum characters of a text: about four pages."""

BITS = 17
"""The bits of a word's number: 131,071 different ones. Zero is not a word."""

MASK = (1 << BITS) - 1

THREE = 3
"""Words per double, which is exact up to 53 bits."""

SLOTS = 32
"""Doubles per text, in addition to its word count: 256 bytes."""

MOST_WORDS = THREE * SLOTS
"""Maximum number of different words and word pairs of a text, from its beginning."""

WORD = re.compile(r"\w+")

UNSPACED = re.compile(r"[\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+")
"""Scripts without blanks between words: each pair of neighbouring characters counts as a word."""


def encoded(text: str) -> list[float]:
    """The word count of a text (counted up to 2 * MOST_WORDS), and its words in SLOTS numbers."""
    words = _first(text)
    # Single words first: a long text has no room for pairs, and a short text has room for both.
    codes = dict.fromkeys([crc32(word) % MASK + 1 for word in words])
    if len(codes) < MOST_WORDS:
        codes |= dict.fromkeys([crc32(b"%b %b" % pair) % MASK + 1 for pair in pairwise(words)])
    kept = list(codes)[:MOST_WORDS]
    kept += [0] * (-len(kept) % THREE)
    packed = [
        float(first << 2 * BITS | second << BITS | third)
        for first, second, third in zip(kept[::THREE], kept[1::THREE], kept[2::THREE], strict=True)
    ]
    return [float(len(words)), *packed, *NOTHING[len(packed) :]]


NOTHING = [0.0] * SLOTS
"""The words of a text that is missing."""


def _first(text: str) -> list[bytes]:
    """The first words, so that a text of thousands costs no more than one of hundreds."""
    if text.isascii():
        return [word.encode() for word in WORD.findall(text.lower())[: 2 * MOST_WORDS]]
    text = unicodedata.normalize("NFKC", text).casefold()
    words = chain.from_iterable(_parted(match[0]) for match in WORD.finditer(text))
    return [word.encode("utf-8", "surrogatepass") for word in islice(words, 2 * MOST_WORDS)]


def _parted(word: str) -> Iterator[str]:
    """The word, or its pairs of neighbouring characters if its script has no blanks."""
    place = 0
    for match in UNSPACED.finditer(word):
        if match.start() > place:
            yield word[place : match.start()]
        run = match[0]
        yield from (run[at : at + 2] for at in range(max(1, len(run) - 1)))
        place = match.end()
    if place < len(word):
        yield word[place:]
