"""JSON rows: reads a large body of plain rows piece by piece, so the model predicts while others are read.

A body in any other form is read as a whole, because it may have errors that single pieces do not show.
"""

import re
from collections.abc import Iterator

import orjson

from retraind.daemon.schema.schema import Schema
from retraind.web.serving import inputs, pipelined
from retraind.web.serving.inputs import Inputs

HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"instances"[ \t\r\n]*:[ \t\r\n]*\[')
TAIL = re.compile(rb"\][ \t\r\n]*\}[ \t\r\n]*")
BETWEEN = re.compile(rb"\][ \t\r\n]*,")
"""The end of a row before another row."""


LEAST_BYTES = 32_768
"""Shorter bodies are read as a whole, in a quarter of a millisecond."""

FIRST_ROWS = 512
"""Number of rows that are read before the model starts."""

SAMPLE_BYTES = 16_384
"""Number of bytes from which the size of a row is estimated."""


class NotPlain(Exception):
    """The body is not JSON, or not a list of plain rows."""


class JsonRows:
    """The rows of a body `{"instances": [[1, 2], …]}`, not yet read."""

    def __init__(self, text: bytes, start: int, end: int) -> None:
        self._text, self._start, self._end = text, start, end

    def pieces(self, schema: Schema) -> Iterator[Inputs]:
        """The rows, read as they are needed; raises NotPlain, possibly after some pieces."""
        at, row, left = self._start, self._bytes_of_row(), inputs.most_rows(schema)
        for size in pipelined.sizes((self._end - at) // row + 1, FIRST_ROWS):
            piece, at = self._piece(schema, at, size * row)
            left -= len(piece)
            if left < 0:
                raise NotPlain
            yield piece
            if at == self._end:
                return
        # The estimate was too low.
        yield self._piece(schema, at, self._end)[0]

    def _piece(self, schema: Schema, at: int, size: int) -> tuple[Inputs, int]:
        """About `size` bytes of rows from a place, up to the end of a row; and where the next row begins."""
        between = BETWEEN.search(self._text, at + size, self._end)
        end, following = between.span() if between else (self._end, self._end)
        if between and following == self._end:  # a comma after the last row
            raise NotPlain
        return _plain(schema, b"[%b]" % self._text[at : end + (between is not None)]), following

    def _bytes_of_row(self) -> int:
        sample = self._text[self._start : self._start + SAMPLE_BYTES]
        return max(1, len(sample) // max(1, sample.count(b"[")))


def of(text: bytes) -> JsonRows | None:
    """The rows of a large body that may be a list of plain rows; None for other bodies.

    Pieces that are JSON lists each by themselves are, one behind the other, the list that they were cut from, wherever the cuts are.
    """
    if len(text) < LEAST_BYTES or (head := HEAD.match(text)) is None:
        return None
    start, end = head.end(), text.rfind(b"]")
    # Objects may repeat a key, which their pieces do not show.
    if not TAIL.fullmatch(text, end) or text.find(b"{", start) >= 0 or not BETWEEN.search(text, start):
        return None
    return JsonRows(text, start, end)


def _plain(schema: Schema, text: bytes) -> Inputs:
    try:
        rows = orjson.loads(text)
    except ValueError:
        raise NotPlain from None
    if (piece := inputs.from_plain_rows(schema, rows)) is None:
        raise NotPlain
    return piece
