"""The content of a drop: bytes that no other process can change.

Small files are held in memory. Larger ones are copied to a nameless temporary file, so a late writer can't change them
and a kill leaves no file.
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

from retraind.daemon.core.errors import InvalidDrop

SMALL_BYTES = 16 * 1024 * 1024
"""Maximum bytes of a file that is held in memory."""

BLOCK_BYTES = 1024 * 1024

PIECE_BYTES = 32 * BLOCK_BYTES
"""Bytes between two pauses for other work: a fraction of a second. A compressed file of 10 MB may take many seconds."""

T = TypeVar("T")


class Content:
    """The bytes of one drop: `size` after decompression; `sha256` of the file in the inbox."""

    def __init__(self, sha256: str, size: int, data: bytes | None, fd: int | None = None) -> None:
        self.sha256, self.size, self.data = sha256, size, data
        self._fd = fd
        if fd is not None:
            weakref.finalize(self, os.close, fd)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The content of bytes in memory."""
        return cls(hashlib.sha256(data).hexdigest(), len(data), data)

    def open(self) -> BinaryIO:
        """A new reader at the beginning; the caller closes it."""
        if self.data is not None:
            return io.BytesIO(self.data)
        # Opening the file again, instead of duplicating the descriptor, gives each reader its own position.
        return Path(f"/proc/self/fd/{self._fd}").open("rb", buffering=0)


def is_packed(name: str) -> bool:
    """True if it is the name of a gzip file."""
    return name.lower().endswith(".gz")


def take(fd: int, folder: Path, *, inflate: bool, most: int) -> Content:
    """Run `taking` without a pause."""
    return finish(taking(fd, folder, inflate=inflate, most=most))


def finish(work: Generator[None, None, T]) -> T:
    """Run a generator to its end and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as ended:
            result: T = ended.value
            return result


def taking(fd: int, folder: Path, *, inflate: bool, most: int) -> Generator[None, None, Content]:
    """Read a file from `fd` to its end, once, and yield after each piece; more than SMALL_BYTES go to a nameless file in `folder`.

    Raises InvalidDrop for more than `most` bytes or a damaged gzip file; OSError.
    """
    head, following = os.read(fd, BLOCK_BYTES), os.read(fd, BLOCK_BYTES)
    if not (following or inflate) and len(head) <= most:
        return Content.of(head)  # nearly every drop; takes a quarter of the time of the general way
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
                raise InvalidDrop(
                    f"The file has more than {most} bytes: see inbox.max_bytes and inbox.max_inflated_bytes."
                )
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
    """The bytes of all gzip members, in bounded pieces, because a small file may decompress to terabytes.

    Zeros after a member are padding, as for gzip itself: tapes and some uploads fill the last block with them.
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
                # After a full piece, output may be pending although all input has been consumed.
                more = bool(rest) or (len(piece) == BLOCK_BYTES and not fresh)
        if not fresh:
            raise InvalidDrop("The gzip file ends too early: copy it again.")
    except zlib.error as error:
        raise InvalidDrop(f"Not a gzip file, although its name ends in .gz: {error}.") from None


def _write(file: BinaryIO, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
