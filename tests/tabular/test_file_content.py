"""retraind.daemon.tabular.file_content: bytes taken once, in bounded memory."""

import gzip
import os
from pathlib import Path

import pytest
from conftest import names

from retraind.daemon.core import durable
from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.tabular import file_content
from retraind.daemon.tabular.file_content import Content

LARGE = os.urandom(1000) * 20_000


def taken(folder: Path, data: bytes, *, inflate: bool = False, most: int = 1 << 30) -> Content:
    (folder / "drop").write_bytes(data)
    fd = os.open(folder / "drop", os.O_RDONLY)
    try:
        return file_content.take(fd, folder, inflate=inflate, most=most)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "data", [b"", b"abc", b"x" * file_content.BLOCK_BYTES, b"x" * (file_content.BLOCK_BYTES + 1), LARGE]
)
def test_bytes_come_back_as_they_were(tmp_path: Path, data: bytes) -> None:
    """Whatever the size: all bytes, their sha256, and as many readers as one likes; no file stays behind."""
    content = taken(tmp_path, data)
    assert (content.size, content.sha256) == (len(data), durable.sha256(data))
    assert (content.data is None) == (len(data) > file_content.SMALL_BYTES)
    with content.open() as first, content.open() as other:
        assert first.read(10) == data[:10]
        assert other.read() == data
        assert first.read() == data[10:]
    assert names(tmp_path) == ["drop"]


def test_later_writes_do_not_reach_what_was_taken(tmp_path: Path) -> None:
    """The drop may be truncated or rewritten afterwards: what was hashed is what is read."""
    content = taken(tmp_path, LARGE)
    (tmp_path / "drop").write_bytes(b"")
    with content.open() as reader:
        assert durable.sha256(reader.read()) == content.sha256


@pytest.mark.parametrize("parts", [[b"a,b\n"], [b"a,b\n", b"", b"1,2\n"], [LARGE], [LARGE, b"end"]])
def test_gzip_is_inflated_with_all_its_members(tmp_path: Path, parts: list[bytes]) -> None:
    """Files that were packed piece by piece are one; the identity is that of the packed bytes."""
    packed = b"".join(gzip.compress(part) for part in parts)
    content = taken(tmp_path, packed, inflate=True)
    with content.open() as reader:
        assert reader.read() == b"".join(parts)
    assert content.sha256 == durable.sha256(packed)


@pytest.mark.parametrize("inflate", [False, True], ids=["plain", "packed"])
def test_large_file_is_taken_in_pieces(tmp_path: Path, inflate: bool) -> None:
    """A small packed one may inflate for many seconds, in which other work wants to be done."""
    data = bytes(5 * file_content.PIECE_BYTES + 1)
    (tmp_path / "drop").write_bytes(gzip.compress(data, 1) if inflate else data)
    fd = os.open(tmp_path / "drop", os.O_RDONLY)
    try:
        pieces = list(file_content.taking(fd, tmp_path, inflate=inflate, most=len(data)))
    finally:
        os.close(fd)
    assert len(pieces) == 5
    assert names(tmp_path) == ["drop"]


@pytest.mark.parametrize("zeros", [1, 512, file_content.BLOCK_BYTES, 2 * file_content.BLOCK_BYTES + 1])
def test_zeros_after_a_gzip_member_are_padding(tmp_path: Path, zeros: int) -> None:
    """gzip ignores them too, also before another member."""
    packed, padding = gzip.compress(b"a,b\n"), bytes(zeros)
    for data, expected in ((packed + padding, b"a,b\n"), (packed + padding + packed, b"a,b\na,b\n")):
        assert taken(tmp_path, data, inflate=True).data == expected


@pytest.mark.parametrize(("name", "packed"), [("a.csv.gz", True), ("D.CSV.GZ", True), ("a.csv", False), ("gz", False)])
def test_the_name_tells_what_is_packed(name: str, packed: bool) -> None:
    """Whatever its case."""
    assert file_content.is_packed(name) == packed


@pytest.mark.parametrize(
    ("packed", "part"),
    [
        (gzip.compress(LARGE, mtime=0)[:-4], "ends too early"),
        (b"a,b\n1,2\n", "Not a gzip file"),
        (gzip.compress(b"abc", mtime=0) + b"rest", "Not a gzip file"),
        (gzip.compress(b"abc", mtime=0) + b"\0rest", "Not a gzip file"),
        (b"\0" + gzip.compress(b"abc", mtime=0), "Not a gzip file"),
        (gzip.compress(bytes(100_000_000), mtime=0), "more than 30000000 bytes"),
    ],
)
def test_damaged_and_oversized_gzip_is_refused(tmp_path: Path, packed: bytes, part: str) -> None:
    """The sentence says what it is; nothing is left on the disk."""
    with pytest.raises(InvalidDrop, match=part):
        taken(tmp_path, packed, inflate=True, most=30_000_000)
    assert names(tmp_path) == ["drop"]
