"""retraind.daemon.dataset.segment_folder: who touches the folder of the segments."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

TOUCHED = re.compile(
    r"segments\.iterdir|segments\.r?glob|listdir\([^)]*\.segments|sweep\([^)]*\.segments"
    r"|(?:segment_writer\.write|Writer)\([^)]*\.segments|\.segments / [^)]*\)\.(?:unlink|rename|replace|write)"
)


def test_no_room_but_the_datasets_own_writes_lists_or_removes_segments() -> None:
    rooms = [path for package in ("daemon", "web") for path in sorted((ROOT / package).rglob("*.py"))]
    outside = [path for path in rooms if path.parent != ROOT / "daemon/dataset"]
    assert [str(path.relative_to(ROOT)) for path in outside if TOUCHED.search(path.read_text())] == []
    assert TOUCHED.search("for path in self._home.segments.iterdir():")
    assert TOUCHED.search("(home.segments / name).unlink()")
