"""Layout: files that are no plain table with a header, named for what they are. For `draft`."""

import re
from itertools import islice

from daemon.tabular.column_types import NUMBER
from daemon.tabular.csv_records import DELIMITERS, examine, records, separator
from daemon.tabular.file_content import Content

LINES = 30
"""So many records are searched for the header."""

HEAD_BYTES = 1 << 20

BACKSLASHES = 'It seems to write a quote in a cell as \\"; in CSV it is doubled: "".'


def objection(file: Content, target: str) -> str:
    """What is wrong where the first line is no header with the target, as the end of a sentence; empty if nothing is told.

    Raises InvalidDrop for what is no text.
    """
    examine(file)
    said = separator(file)
    heads = [list(islice(records(file, mark), LINES))[len(said) :] for mark in said or DELIMITERS]
    split = [[(line, [cell.strip() for cell in found]) for line, found, _ in head] for head in heads]
    if any(target in found for head in split for _, found in head[:1]):
        return ""
    for line, found in (one for head in split for one in head):
        if target in found and len(set(found)) > 1:
            return f", line {line}, looks like the header: remove the lines above it."
    first = max((found for head in split for _, found in head[:1]), key=len, default=[])
    numbers = sum(re.match(NUMBER, cell) is not None for cell in first)
    if numbers and 2 * numbers >= len(first):
        return f" begins with data ({', '.join(first)[:60]}): put a line with the names of the columns above it."
    return ""


def has_backslashes(file: Content) -> bool:
    """Whether its beginning has quotes behind a backslash."""
    with file.open() as opened:
        return b'\\"' in opened.read(HEAD_BYTES)
