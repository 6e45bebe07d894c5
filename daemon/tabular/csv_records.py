"""CSV records: the text of a drop and its records, split by Python's csv module.

`csv_table` uses it for the header and to locate the few bad records; there Arrow splits whole files. A property test
checks that both follow the same rules.
"""

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.tabular.file_content import Content

# csv limits a cell to 131,072 characters; we limit a record, as Arrow does.
csv.field_size_limit(sys.maxsize)

MOST_RECORD = 16 << 20
"""Maximum characters of a record. A longer record is an unclosed quote, and would fill the memory.

Arrow reads up to 32 blocks ahead, and a block must hold half a record.
"""

BLOCK_BYTES = 1 << 20

DELIMITERS = ",;\t"

GZIP = b"\x1f\x8b"

SEPARATOR = re.compile(rb"(\xef\xbb\xbf)?\"?sep=(?P<mark>[\x20-\x7e\t])\"?[,;\t]*\r?\n")
"""A first line that gives Excel the delimiter."""


def separator(content: Content) -> str:
    """The delimiter that a first line such as sep=; names; empty if there is none."""
    with content.open() as file:
        match = SEPARATOR.match(file.read(16))
    return match["mark"].decode() if match else ""


def examine(content: Content) -> bool:
    """True if each line is a record, because the content has neither a quote nor a carriage return.

    Raises InvalidDrop unless the content is UTF-8 text without NUL bytes and not blank.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    offset, blank, plain = 0, True, True
    with content.open() as file:
        while True:
            block = file.read(BLOCK_BYTES)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = offset - pending + error.start
                raise InvalidDrop(_unread(block, at), line=_line_at(content, at)) from None
            if (nul := block.find(b"\0")) >= 0:
                line = _line_at(content, offset + nul)
                raise InvalidDrop("The file holds a NUL byte: it is not a text file.", line=line)
            blank = blank and not text.strip()
            plain = plain and b'"' not in block and b"\r" not in block
            if not block:
                break
            offset += len(block)
    if blank:
        raise InvalidDrop("The file is empty.")
    return plain


def _unread(block: bytes, at: int) -> str:
    """Why the byte `at`, which is in `block`, is not UTF-8. Text in UTF-16 begins with a byte order mark."""
    if at < len(GZIP) and block.startswith(GZIP):
        return "The file is packed by gzip: give it a name that ends in .csv.gz, or unpack it."
    if b"\0" in block and not block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "The file is not text: it holds NUL bytes. Export it as CSV from the program that wrote it."
    return f"Not UTF-8 text: byte {at} can't be read. Save it as UTF-8."


def _line_at(content: Content, at: int) -> int:
    """The 1-based line of the byte `at`."""
    line, begins = 1, b""
    with content.open() as file:
        while at > 0 and (block := file.read(min(at, BLOCK_BYTES))):
            block, at = begins + block, at - len(block)
            begins = b"\r" if block.endswith(b"\r") else b""  # it may be the first half of a line end
            block = block.removesuffix(begins)
            line += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
    return line + len(begins)


def count(content: Content, start: int) -> int:
    """The number of non-empty lines from byte `start` on: at least that of records, more if cells have several lines."""
    lines, last = 0, b"\n"
    with content.open() as file:
        file.seek(start)
        while block := file.read(BLOCK_BYTES):
            text = (last + block).replace(b"\r", b"\n")
            while b"\n\n" in text:
                text = text.replace(b"\n\n", b"\n")
            last = text[-1:]
            lines += text.count(b"\n") - (last == b"\n")  # a line feed begins a line if text follows it
    return lines


def records(content: Content, delimiter: str, *, empty: bool = False) -> Iterator[tuple[int, list[str], str]]:
    """First line (1-based), cells and verbatim text of each record, the header first, split like Arrow."""
    with io.TextIOWrapper(content.open(), encoding="utf-8-sig", newline="") as file:
        taken: list[str] = []
        begin = 1

        def lines() -> Iterator[str]:
            size = 0
            while line := file.readline(MOST_RECORD + 1):
                size = len(line) + (size if taken else 0)
                if size > MOST_RECORD:
                    reason = f"The record that begins here has more than {MOST_RECORD} characters"
                    raise InvalidDrop(f"{reason}: perhaps a quote is never closed.", line=begin)
                taken.append(line)
                yield line

        reader = csv.reader(lines(), delimiter=delimiter)
        for cells in reader:
            if cells or empty:
                yield begin, cells, "".join(taken)
            taken.clear()
            begin = reader.line_num + 1


def lines(content: Content, begin: int, line: int, numbers: list[int]) -> Iterator[tuple[int, int, str]]:
    """Number, 1-based line and text of the records `numbers` (descending; emptied), if each line is a record.

    The first data record begins at byte `begin` in line `line`. In blocks without any of them, lines are only counted.
    """
    number, rest = 0, b""
    with content.open() as file:
        file.seek(begin)
        while numbers and (block := file.read(BLOCK_BYTES) or rest):
            last = block is rest
            block = block + b"\n" if last else rest + block
            cut = block.rfind(b"\n") + 1
            block, rest = block[:cut], b"" if last else block[cut:]
            count = block.count(b"\n")
            if number + count <= numbers[-1] and b"\n\n" not in block and not block.startswith(b"\n"):
                number, line = number + count, line + count
                continue
            for text in block.split(b"\n")[:-1]:
                if text and numbers and number == numbers[-1]:
                    yield numbers.pop(), line, text.decode()
                number, line = number + bool(text), line + 1
