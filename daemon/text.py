"""Text: the characters of a drop and its records, as Python's csv module tells them apart.

Level 1. `cells` reads the header by it and finds the few bad records again; whole files are split by Arrow there. Both go
by the same rules, which a property test holds together.
"""

import codecs
import csv
import io
import sys
from collections.abc import Iterator

from daemon.content import Content
from daemon.errors import InvalidDrop

# csv's own limit is 131,072 characters a cell; ours is that of a record, which Arrow goes by, too.
csv.field_size_limit(sys.maxsize)

MOST_RECORD = 16 << 20
"""Characters of one record. A longer one is a quote that was never closed, and would fill the memory.

Arrow reads up to 32 blocks ahead, and a block must hold half a record.
"""

BLOCK_BYTES = 1 << 20


def refuse_binary(content: Content) -> None:
    """Raise InvalidDrop unless the content is UTF-8 text, not only blanks, without a NUL byte."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    offset, blank = 0, True
    with content.open() as file:
        while True:
            block = file.read(BLOCK_BYTES)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = offset - pending + error.start
                reason = f"Not UTF-8 text: byte {at} can't be read. Save it as UTF-8."
                raise InvalidDrop(reason, line=_line_at(content, at)) from None
            if (nul := block.find(b"\0")) >= 0:
                line = _line_at(content, offset + nul)
                raise InvalidDrop("The file holds a NUL byte: it is not a text file.", line=line)
            blank = blank and not text.strip()
            if not block:
                break
            offset += len(block)
    if blank:
        raise InvalidDrop("The file is empty.")


def _line_at(content: Content, at: int) -> int:
    """The 1-based line of the byte `at`."""
    line, begins = 1, b""
    with content.open() as file:
        while at > 0 and (block := file.read(min(at, BLOCK_BYTES))):
            block, at = begins + block, at - len(block)
            begins = b"\r" if block.endswith(b"\r") else b""  # may be the first half of a line end
            block = block.removesuffix(begins)
            line += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
    return line + len(begins)


def records(content: Content, delimiter: str, *, empty: bool = False) -> Iterator[tuple[int, list[str], str]]:
    """First line (1-based), cells and verbatim text of each record, the header first, told apart as Arrow does."""
    with io.TextIOWrapper(content.open(), encoding="utf-8-sig", newline="") as file:
        taken: list[str] = []
        begin = 1

        def lines() -> Iterator[str]:
            size = 0
            while line := file.readline(MOST_RECORD + 1):
                size = len(line) + (size if taken else 0)
                if size > MOST_RECORD:
                    reason = f"The record that begins here has more than {MOST_RECORD} characters"
                    raise InvalidDrop(f"{reason}: perhaps a quote is opened and never closed.", line=begin)
                taken.append(line)
                yield line

        reader = csv.reader(lines(), delimiter=delimiter)
        for cells in reader:
            if cells or empty:
                yield begin, cells, "".join(taken)
            taken.clear()
            begin = reader.line_num + 1
