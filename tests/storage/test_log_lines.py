"""retraind.daemon.storage.log_lines: rows of the prediction log are erased in their place."""

import struct
from base64 import b64decode
from contextlib import closing

import orjson
from logged import block, predictions

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.records.records import Records
from retraind.daemon.storage import log_lines
from retraind.daemon.storage.prediction_history import HistoryCopier


def test_row_of_a_line_with_many_goes_and_leaves_the_others(home: Home) -> None:
    path = home.logs / "predictions-0-20260101T000000000000-1.jsonl"
    last = block(3, 2)
    before = block(0, 3) + b"\n" + last + b"\n"
    path.write_bytes(before + b'{"block":1}\n')
    assert log_lines.files_with(home, {"many.1", "other.1"}) == [path]
    log_lines.blank(path, {"many.1", "other.1"})
    assert log_lines.files_with(home, {"other.1"}) == []
    assert path.stat().st_size == len(before) + 12, "a worker may append meanwhile"
    assert path.read_bytes().splitlines()[1] == last
    packed = b64decode(orjson.loads(path.read_bytes().splitlines()[0])["features"])
    assert struct.pack("<2d", 4, 5) in packed
    assert struct.pack("<d", 2) not in packed
    with closing(HistoryCopier(home, Settings())) as history_copier:
        assert history_copier.copy() == 4
    ids = [row["prediction_id"] for row in Records(home).predictions.newest()]
    assert ids == ["many.4", "many.3", "many.2", "many.0"]


def test_rows_of_several_requests_go_from_among_many_blocks(home: Home) -> None:
    """And no row of a request whose id begins or ends alike, nor of another block of the same request."""
    requests = ["many", "many.1", "any", "1", *(f"request-{number}" for number in range(40))]
    blocks = [block(first, 3, block=request) + b"\n" for request in requests for first in (0, 3)]
    for number, lines in enumerate((blocks[:30], blocks[30:])):
        (home.logs / f"predictions-{number}-20260101T000000000000-1.jsonl").write_bytes(b"".join(lines))
    before = predictions(home)
    ids = {"many.1", "many.5", "many.1.0", "request-7.4", "request-39.0", "request-39.1", "request-39.2"}
    others = {"request-4.9", "request-7.04", "none.0", "request-8"}
    paths = log_lines.files_with(home, ids | others)
    assert len(paths) == 2
    for path in paths:
        log_lines.blank(path, ids | others)
    assert predictions(home) == [row for row in before if row["prediction_id"] not in ids]
    assert len(predictions(home)) == len(before) - len(ids)
