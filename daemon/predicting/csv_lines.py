"""CSV lines: columns of text cells as the bytes of records, a few million cells per second."""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from retraind.daemon.tabular.checks.bad_rows import joined


def head(names: Sequence[str], delimiter: str, ending: str = "\n") -> bytes:
    """The first line."""
    return (joined(delimiter, names) + ending).encode()


def body(columns: Sequence[pa.Array], delimiter: str, plain: Sequence[bool], ending: str = "\n") -> bytes:
    """The records (n lines) of text cells; those of `plain` columns are known to need no quotes.

    At least one cell of each record must not be empty: an empty line is no record.
    """
    cells = [cell if is_plain else _quoted(cell, delimiter) for cell, is_plain in zip(columns, plain, strict=True)]
    lines = pc.binary_join_element_wise(*cells[:-1], pc.binary_join_element_wise(cells[-1], "", ending), delimiter)
    return _bytes(lines)


def _quoted(cells: pa.Array, delimiter: str) -> pa.Array:
    """The cells, in quotes where a reader would take them apart otherwise."""
    special = pc.match_substring_regex(cells, f'["\r\n{re.escape(delimiter)}]')
    if not pc.any(special).as_py():
        return cells
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), cells)


def _bytes(lines: pa.Array) -> bytes:
    """The texts, one behind the other."""
    _, offsets, data = lines.buffers()
    if not len(lines):
        return b""
    width = 8 if pa.types.is_large_string(lines.type) else 4
    ends = memoryview(offsets).cast("q" if width == 8 else "i")
    first, last = ends[lines.offset], ends[lines.offset + len(lines)]
    return bytes(memoryview(data)[first:last])
