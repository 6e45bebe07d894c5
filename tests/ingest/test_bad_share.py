"""retraind.daemon.ingest.reading: a file with too large a share of bad rows is rejected whole. Real git, DVC, SQLite and folders."""

from collections.abc import Sequence

import interrupting
import orjson
import pytest
from ingesting import HEADER, Parts, row
from interrupting import bad_rows

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.settings import Settings
from retraind.daemon.tabular import file_content

parts = pytest.fixture(interrupting.parts)

BAD = "4;5,3.5,1.4,0.2,setosa\n"


def text(good: Sequence[int], bad: int, unlabelled: int = 0) -> str:
    return HEADER + "".join(map(row, good)) + BAD * bad + "7,3.5,1.4,0.2,\n" * unlabelled


@pytest.mark.engines(full=True)
@pytest.mark.parametrize("small", [True, False])
def test_file_of_mostly_bad_rows_is_rejected_whole(parts: Parts, small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is accepted, whether it is read at once or in parts; each bad row has its reason, the report the counts."""
    if not small:
        monkeypatch.setattr(file_content, "SMALL_BYTES", 100)
    parts.drop("export.csv", text(range(10), 11))
    parts.run()
    assert parts.lengths == []
    assert parts.drops() == [("export.csv", "rejected")]
    report = orjson.loads((parts.home.rejected / "export.csv.report.json").read_bytes())
    assert report["reason"].startswith("11 of 21 rows are bad (11 in 'sepal_length'), a larger share than")
    assert "inbox.max_bad_share = 0.5" in report["reason"]
    assert (report["line"], report["column"]) == (12, "sepal_length")
    lines = bad_rows(parts, "export.csv").read_text().splitlines()
    assert len(lines) == 12
    assert lines[1].startswith("12,sepal_length,'4;5' is not a number.")


def test_others_of_the_same_header_are_accepted(parts: Parts) -> None:
    """Small files that are read as one: only the bad one is rejected, and no category of it stays."""
    parts.drop("a.csv", text(range(5), 0))
    parts.drop("b.csv", text(range(100, 105), 20))
    parts.drop("c.csv", text(range(200, 205), 3))
    parts.run()
    assert parts.lengths == [*range(5), *range(200, 205)]
    assert ("b.csv", "rejected") in parts.drops()
    [first, third] = parts.journal.drops.of_batch(1)
    assert [(one["rows_accepted"], one["rows_refused"]) for one in (first, third)] == [(5, 0), (5, 3)]


@pytest.mark.parametrize(
    ("good", "bad", "unlabelled"), [(10, 10, 0), (1, 9, 0), (10, 10, 500)], ids=["half", "few", "without labels"]
)
def test_other_files_with_bad_rows_are_accepted(parts: Parts, good: int, bad: int, unlabelled: int) -> None:
    """Up to the share, with fewer than ten bad rows, and whatever number of rows has no label."""
    parts.drop("a.csv", text(range(good), bad, unlabelled))
    parts.run()
    assert len(parts.lengths) == good


def test_share_is_a_setting(home: Home, parts: Parts) -> None:
    """1 accepts any share, 0 rejects a file for ten bad rows."""
    for share, accepted in ((1.0, 1), (0.0, 0)):
        parts.close()
        parts.settings = Settings(inbox=Limits(settle_seconds=0.0, max_bad_share=share))
        parts.open()
        parts.drop(f"{share}.csv", text([int(share)] if share else range(90), 10))
        parts.run()
        assert len(parts.lengths) == 1, accepted
