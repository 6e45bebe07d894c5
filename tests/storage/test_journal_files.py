"""retraind.daemon.storage.journal: the file on disk: any path, damage, other formats and their migration."""

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from journal_entries import a_batch, a_drop

from retraind.daemon.core.errors import HistoryLost, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.journal_format import FORMAT
from retraind.daemon.core.states import DropState
from retraind.daemon.records.drops import decided, held
from retraind.daemon.storage.journal import Journal


@pytest.mark.parametrize("name", ["a b", "50%20 #1?x=y", "ü", "'; DROP"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    """A home may be called what it likes; the journal is where it should be, and only its owner reads it."""
    folder = tmp_path / name
    folder.mkdir()
    with closing(Journal.open(folder / "journal.db")) as journal:
        journal.key_values.put("k", name)
        with Journal.reading(folder / "journal.db") as reader:
            assert reader.key_values.get("k") == name
    assert [path.name for path in folder.iterdir()] == ["journal.db"]
    assert stat.S_IMODE((folder / "journal.db").stat().st_mode) == 0o600


def test_damaged_journal_is_a_sentence(home: Home) -> None:
    """Neither writer nor reader gives a traceback, and both say what to do."""
    home.journal.write_bytes(b"no database at all" * 500)
    with pytest.raises(RetraindError, match=r"journal\.db can't be used.*backup"):
        Journal.open(home.journal)
    with (
        pytest.raises(RetraindError, match=r"journal\.db can't be used.*backup"),
        Journal.reading(home.journal) as journal,
    ):
        journal.versions.newest()


def test_journal_that_disappears_while_it_is_opened_is_not_written(home: Home) -> None:
    """SQLite would go on in a file without a name; a locked journal, as here, or the check of a large one, takes seconds."""
    Journal.open(home.journal).close()
    with closing(sqlite3.connect(home.journal, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")

        def take() -> None:
            home.journal.rename(home.root / "aside")
            other.rollback()

        taking = threading.Timer(0.3, take)
        taking.start()
        with pytest.raises(HistoryLost, match="is gone"):
            Journal.open(home.journal)
        taking.join()
    assert not home.journal.exists()


def test_hole_in_the_journal_is_found_at_start(home: Home) -> None:
    """Pages that were overwritten are noticed before anything is written after them."""
    with closing(Journal.open(home.journal)) as journal:
        for number in range(200):
            journal.key_values.put(str(number), "x" * 500)
    data = bytearray(home.journal.read_bytes())
    data[4096 * 3 : 4096 * 9] = b"\xff" * 4096 * 6
    home.journal.write_bytes(data)
    with pytest.raises(RetraindError, match="can't be used"):
        Journal.open(home.journal)


def test_journal_of_a_newer_program_is_left_alone(home: Home) -> None:
    """An older retraind does not touch what it does not know."""
    Journal.open(home.journal).close()
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(RetraindError, match=f"has format {FORMAT + 1}.*Install the newer version"):
        Journal.open(home.journal)


def test_journal_of_the_first_format_is_migrated_with_a_copy(home: Home) -> None:
    """Every fact stays; what is new follows from the old; the copy is what the earlier release can still open."""
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.executescript((Path(__file__).parents[1] / "journal-format-1.sql").read_text())
    with pytest.raises(RetraindError, match="`retraind run` migrates it"), Journal.reading(home.journal):
        pass
    with closing(Journal.open(home.journal)) as journal:
        assert [one["name"] for one in journal.segments.current()] == ["1.parquet", "2.parquet"]
        assert [batch["total_rows"] for batch in journal.batches.all()] == [5, 12]
        assert journal.batches.committed() == (12, "2" * 32, "2" * 40, 2)
        run = journal.runs.last()
        assert run is not None
        assert run["batch"] == 2
        assert journal.drops.of_batch(1)[0]["rows_duplicate"] == 0
    with closing(sqlite3.connect(f"{home.journal}.format-1")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT COUNT(*) FROM drops").fetchone() == (2,)


def test_journal_of_the_third_format_goes_on_and_holds_drops(home: Home, journal: Journal) -> None:
    """The format before drops were held: whoever asks meanwhile sees none, and an older program must not take those that wait."""
    journal.batches.commit(journal.batches.accept(a_batch(), [a_drop()]), "r" * 40, "d" * 32)
    journal.close()
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.executescript("DROP TABLE held; PRAGMA user_version = 3")
    assert held.held(home.journal, 9) == []
    with closing(Journal.open(home.journal)) as migrated:
        assert migrated.batches.committed() == (5, "d" * 32, "r" * 40, 1)
        odd: Any = {"name": "odd.csv", "reason": "half of it is wrong", "version": 1, "seen_at": None}
        migrated.held.hold(odd | {"sha256": "b" * 64, "bytes": 1, "rows_read": 9})
    assert [row["name"] for row in held.held(home.journal, 9)] == ["odd.csv"]
    with closing(sqlite3.connect(home.journal)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    with closing(sqlite3.connect(f"{home.journal}.format-3")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM drops").fetchone() == (1,)


def test_journal_from_before_rejections_by_a_person_goes_on(home: Home, journal: Journal) -> None:
    """Of the same format: the column may be empty, and older programs go on without it."""
    journal.close()
    with closing(sqlite3.connect(home.journal)) as connection:
        connection.execute("ALTER TABLE drops DROP COLUMN decided_by")
        connection.execute("ALTER TABLE drops DROP COLUMN origin")
    with closing(Journal.open(home.journal)) as opened:
        opened.drops.refuse(a_drop(decided_by="cli", origin="s3://b/a?etag=1"), DropState.REJECTED, "b")
    assert [row["origin"] for row in decided.newest(home.journal, 9)] == ["s3://b/a?etag=1"]
    assert [row["decided_by"] for row in decided.newest(home.journal, 9)] == ["cli"]
