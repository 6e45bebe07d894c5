"""The content of a drop: bytes that nobody else can change any more.

Small files are kept in memory; larger ones are copied into a temporary file without a name, so that neither a
writer that comes back nor a kill can leave anything half done.
"""

import hashlib
import io
import os
import tempfile
import weakref
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from daemon.core.errors import InvalidDrop

SMALL_BYTES = 16 * 1024 * 1024
"""Up to this many bytes are kept in memory."""

BLOCK_BYTES = 1024 * 1024

PIECE_BYTES = 32 * BLOCK_BYTES
"""After so many bytes other work may be done: a fraction of a second, where a packed file of 10 MB may take many."""

T = TypeVar("T")


class Content:
    """Bytes of one drop: `size` of them after inflating; `sha256` is that of the file as it lay in the inbox."""

    def __init__(self, sha256: str, size: int, data: bytes | None, fd: int | None = None) -> None:
        self.sha256, self.size, self.data = sha256, size, data
        self._fd = fd
        if fd is not None:
            weakref.finalize(self, os.close, fd)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Content that is in memory already."""
        return cls(hashlib.sha256(data).hexdigest(), len(data), data)

    def open(self) -> BinaryIO:
        """A new reader at the beginning; the caller closes it."""
        if self.data is not None:
            return io.BytesIO(self.data)
        # Opening it anew, instead of duplicating the descriptor, gives each reader a position of its own.
        return Path(f"/proc/self/fd/{self._fd}").open("rb", buffering=0)


def is_packed(name: str) -> bool:
    """Whether a file of this name is one of gzip."""
    return name.lower().endswith(".gz")


def take(fd: int, folder: Path, *, inflate: bool, most: int) -> Content:
    """`taking` without a pause."""
    return finish(taking(fd, folder, inflate=inflate, most=most))


def finish(work: Generator[None, None, T]) -> T:
    """What work that is done in pieces gives in the end."""
    while True:
        try:
            next(work)
        except StopIteration as ended:
            result: T = ended.value
            return result


def taking(fd: int, folder: Path, *, inflate: bool, most: int) -> Generator[None, None, Content]:
    """Read a file from `fd` to its end, once, and yield after each piece; more than SMALL_BYTES go to a nameless file in `folder`.

    Raises InvalidDrop when there are more than `most` bytes, or what should be gzip is not; OSError.
    """
    head, following = os.read(fd, BLOCK_BYTES), os.read(fd, BLOCK_BYTES)
    if not (following or inflate) and len(head) <= most:
        return Content.of(head)  # nearly every drop, at a quarter of the cost
    digest = hashlib.sha256()
    begin = filter(None, (head, following))
    blocks = _hashed(chain(begin, iter(lambda: os.read(fd, BLOCK_BYTES), b"")), digest)
    with ExitStack() as stack:
        sink: BinaryIO = io.BytesIO()
        size = 0
        for block in _inflated(blocks) if inflate else blocks:
            if size // PIECE_BYTES != (size + len(block)) // PIECE_BYTES:
                yield
            size += len(block)
            if size > most:
                raise InvalidDrop(f"It has more than {most} bytes: see inbox.max_bytes and inbox.max_inflated_bytes.")
            if isinstance(sink, io.BytesIO) and size > SMALL_BYTES:
                file = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
                _write(file, sink.getbuffer())
                sink = file
            _write(sink, block)
        if isinstance(sink, io.BytesIO):
            return Content(digest.hexdigest(), size, sink.getvalue())
        return Content(digest.hexdigest(), size, None, os.dup(sink.fileno()))


def _hashed(blocks: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block


def _inflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of all gzip members, in bounded pieces: a small file may inflate to terabytes.

    Zeros after a member are padding, as for gzip itself: tapes and some uploads fill up a last block with them.
    """
    inflater = zlib.decompressobj(wbits=31)
    fresh, padding = True, b""
    try:
        for block in blocks:
            rest = block.lstrip(padding) if fresh else block
            more = bool(rest)
            while more:
                piece = inflater.decompress(rest, BLOCK_BYTES)
                yield piece
                rest, fresh = inflater.unconsumed_tail, False
                if inflater.eof:
                    padding = b"\0"
                    rest, inflater, fresh = inflater.unused_data.lstrip(padding), zlib.decompressobj(wbits=31), True
                # A full piece may have left more behind, even where all input has been consumed.
                more = bool(rest) or (len(piece) == BLOCK_BYTES and not fresh)
        if not fresh:
            raise InvalidDrop("The gzip file ends too early: copy it again.")
    except zlib.error as error:
        raise InvalidDrop(f"Not a gzip file, although its name ends in .gz: {error}.") from None


def _write(file: BinaryIO, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
