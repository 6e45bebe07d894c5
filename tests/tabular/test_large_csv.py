"""retraind.daemon.tabular.csv_table: large files, read in order and in bounded memory, and records that are located in them."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
from csv_texts import HEADER, WANTED

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.tabular import csv_table, file_content
from retraind.daemon.tabular.file_content import Content

# Places


def test_records_are_located_by_line_and_verbatim_text() -> None:
    """Lines as an editor counts them, over empty ones and quoted line ends; the text is the file's own, quotes and all."""
    source = '\ufeff\nsize,note\r\n\n1,2\r\n"3\r\n3", "x"\r\n\n5,"a""b",\r6,\u2028é\n\n7'
    whole = Content.of(source.encode())
    header = csv_table.examine(whole, WANTED)
    assert list(csv_table.locate(whole, header, [4, 0, 2, 1, 3, 4, 99])) == [
        (0, 4, "1,2"),
        (1, 5, '"3\r\n3", "x"'),
        (2, 8, '5,"a""b",'),
        (3, 9, "6,\u2028é"),
        (4, 11, "7"),
    ]
    assert header.text == "size,note"
    assert list(csv_table.locate(whole, header, [])) == []


# Large files


def large(path: Path, rows: int, line: bytes) -> Content:
    path.write_bytes(HEADER.encode() + line * rows + b"torn\n" + line)
    fd = os.open(path, os.O_RDONLY)
    try:
        return file_content.take(fd, path.parent, inflate=False, most=1 << 40)
    finally:
        os.close(fd)


def test_large_file_on_disk_is_read_in_order_and_in_bounded_memory(tmp_path: Path) -> None:
    """Chunks follow each other without a gap, whatever the size of the file."""
    line = b'1.25,"' + b"x" * 190 + b'"\n'
    file = large(tmp_path / "large.csv", 200_000, line)
    assert file.data is None
    header = csv_table.examine(file, WANTED)
    before = pa.total_allocated_bytes()
    following, torn, most = 0, [], 0
    for chunk in csv_table.chunks(file, header):
        assert chunk.records[0] == following
        following, most = int(chunk.records[-1]) + 1, max(most, pa.total_allocated_bytes() - before)
        torn += [one.record for one in chunk.torn]
    assert (following, torn) == (200_002, [200_000])
    assert most < 20 << 20
    assert list(csv_table.locate(file, header, [200_001])) == [(200_001, 200_003, line.decode().strip())]


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"PK\x03\x04\x14\0\x06\0\xe9\xff", "Export it as CSV"),
        ("a,b\n1,é\n".encode("utf-16"), "Save it as UTF-8"),
        ("a,b\n1,é\n".encode("latin-1"), "Save it as UTF-8"),
    ],
)
def test_what_to_do_depends_on_what_the_file_is(content: bytes, advice: str) -> None:
    """A workbook can't be saved as UTF-8; text in another encoding can."""
    with pytest.raises(InvalidDrop, match=advice):
        csv_table.examine(Content("", len(content), content), WANTED)


def test_fault_far_into_a_large_file_is_found(tmp_path: Path) -> None:
    """A byte that is no UTF-8, cut by a block's end or not, and a NUL byte are refused with their line."""
    for fault in (b"1,\xc3\n", b"1,\0\n"):
        file = large(tmp_path / "large.csv", 250_000, b"1,%s\n" % ("é" * 35).encode())
        data = bytearray(file.open().read())
        data[-len(fault) :] = fault
        with pytest.raises(InvalidDrop) as caught:
            csv_table.examine(Content("", len(data), bytes(data)), WANTED)
        assert caught.value.line == 250_003
