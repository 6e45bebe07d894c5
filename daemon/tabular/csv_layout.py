"""CSV layout: recognises files that are not a plain table with a header, such as those with titles above it.

For `infer_schema`.
"""

import re
from itertools import chain, islice

from retraind.daemon.schema.cell_notation import NUMBER
from retraind.daemon.tabular.csv_records import DELIMITERS, examine, records, separator
from retraind.daemon.tabular.file_content import Content

LINES = 30
"""Number of records that are searched for the header."""

HEAD_BYTES = 1 << 20

BACKSLASHES = 'The file seems to write a quote in a cell as \\"; CSV doubles it: "".'


def objection(file: Content, target: str) -> str:
    """The end of a sentence on why the first line is not a header with the target; empty for an unknown cause.

    Raises InvalidDrop if the file is not text.
    """
    examine(file)
    mark = separator(file)
    heads = [list(islice(records(file, delimiter), LINES))[len(mark) :] for delimiter in mark or DELIMITERS]
    split = [[(line, [cell.strip() for cell in cells]) for line, cells, _ in head] for head in heads]
    if any(target in cells for head in split for _, cells in head[:1]):
        return ""
    for line, cells in chain.from_iterable(split):
        if target in cells and len(set(cells)) > 1:
            return f", line {line}, looks like the header: remove the lines above it."
    first = max((cells for head in split for _, cells in head[:1]), key=len, default=[])
    numbers = sum(re.match(NUMBER, cell) is not None for cell in first)
    if numbers and 2 * numbers >= len(first):
        return f" begins with data ({', '.join(first)[:60]}): put a line with the names of the columns above it."
    return ""


def has_backslashes(file: Content) -> bool:
    """True if the first HEAD_BYTES hold a quote after a backslash."""
    with file.open() as opened:
        return b'\\"' in opened.read(HEAD_BYTES)
