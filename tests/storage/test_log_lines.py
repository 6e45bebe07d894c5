"""daemon.storage.log_lines: rows of the prediction log are erased in their place."""

import struct
from base64 import b64decode
from contextlib import closing

import orjson
from logged import block

from daemon.core.home import Home
from daemon.core.settings import Settings
from daemon.records.records import Records
from daemon.storage import log_lines
from daemon.storage.prediction_history import HistoryCopier


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
