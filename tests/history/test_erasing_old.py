"""retraind.daemon.history: predictions are erased from files, kept for so many days, and backed up; commands find them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from archives import Archives, build_here, entry, ids_in_files, opened, trained, write_log

from retraind.daemon.backup import backup, restore
from retraind.daemon.cli.report import old_predictions as report
from retraind.daemon.core.clock import Reading
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.history import archiving, erasing
from retraind.daemon.history.archiving import Archiver
from retraind.daemon.history.old_predictions import OldPredictions
from retraind.daemon.predicting import explaining
from retraind.daemon.records.search import history_files

IDS = [f"0f3a5c7e9b1d-{number:x}" for number in range(20)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "_built", build_here)


def archived(archives: Archives) -> None:
    """Two files with ten predictions each."""
    trained(archives, 1)
    for start in (0, 10):
        write_log(archives.home, [entry(number) for number in range(start, start + 10)], start)
        archives.work()


def test_predictions_are_erased_from_the_files_that_hold_them(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    with opened(home) as archives:
        archived(archives)
        old = OldPredictions(home, archives.place, archives.journal, archives.archiver)
        before = {file["object"] for file in history_files.all_files(home.journal)}
        assert len(erasing.files_with(home, archives.place, [IDS[3], IDS[4]])) == 1
        assert list(old.erase([IDS[3], IDS[4], "no-1"])) == [2]
        assert list(old.erase([IDS[3]])) == [0]
        after = {file["object"] for file in history_files.all_files(home.journal)}
        assert len(before & after) == 1
        assert ids_in_files(home) == sorted(set(IDS) - {IDS[3], IDS[4]})
        assert erasing.files_with(home, archives.place, [IDS[3]]) == []
        assert list(old.erase(IDS)) == [8, 10]
        assert history_files.all_files(home.journal) == []
        assert list(archives.place.folder.iterdir()) == []
        assert archives.journal.history_files.leftovers() == []


def test_what_is_erased_while_it_is_archived_comes_into_no_file(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    with opened(home) as archives:
        trained(archives, 1)
        write_log(home, [entry(number) for number in range(10)])
        archives.copier.copy()
        assert archives.archiver.step(0.0), "it builds, with all of them"
        archives.copier.erase([IDS[3]])
        old = OldPredictions(home, archives.place, archives.journal, archives.archiver)
        assert list(old.erase([IDS[3]])) == []
        archives.work()
        assert ids_in_files(home) == sorted(set(IDS[:10]) - {IDS[3]})


def test_files_go_when_their_newest_prediction_is_old(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    now = datetime.now(UTC)
    days = [now - timedelta(days=age) for age in (9, 6, 1)]
    settings = Settings(predictions=Predictions(history="parquet", rotate_bytes=1000, keep_rows=0))
    with opened(home, settings=settings) as archives:
        trained(archives, 1)
        rows = [
            entry(number, timestamp=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
            for number, at in enumerate(day + timedelta(seconds=one) for day in days for one in range(5))
        ]
        write_log(home, rows)
        archives.work()
        assert len(history_files.all_files(home.journal)) == 3
    limited = Settings(predictions=settings.predictions.model_copy(update={"keep_days": 5.0}))
    with opened(home, settings=limited) as archives:
        readings = iter(Reading(now.timestamp() + later, later) for later in (0.0, 3601.0))
        parts = home, limited, archives.journal, archives.place, archives.copier
        archiver = Archiver(*parts, lambda: next(readings))
        for moment in (0.0, 60.0):
            assert len(history_files.all_files(home.journal)) == 3, "not in the first hour"
            archiver.step(moment)
        archiver.close()
        assert [file["day"] for file in history_files.all_files(home.journal)] == [f"{days[2]:%Y-%m-%d}"]
        assert ids_in_files(home) == sorted(IDS[10:15])


def test_a_backup_has_files_and_waiting_logs_once(tmp_path: Path, home: Home) -> None:
    with opened(home) as archives:
        archived(archives)
        write_log(home, [entry(20)], 30)
        (home.settings).write_text('[predictions]\nhistory = "parquet"\n')
    backup.backup(home, tmp_path / "copy.tar")
    other = Home(tmp_path / "other")
    restore.restore(tmp_path / "copy.tar", other)
    with opened(other) as archives:
        archives.copier.copy()
        assert sorted(archives.by_ids(IDS)) == sorted(IDS)
        assert "20 predictions in 2 files" in report.describe(other)


def test_a_log_that_comes_back_from_a_backup_is_not_counted_again(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    with opened(home) as archives:
        archived(archives)
        path = write_log(home, [entry(number) for number in range(10)])
        archives.work()
        assert not path.exists()
        assert ids_in_files(home) == sorted(IDS)


def test_a_history_that_was_lost_goes_on_with_larger_numbers(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    with opened(home) as archives:
        archived(archives)
    for path in home.logs.glob("predictions.db*"):
        path.unlink()
    with opened(home) as archives:
        write_log(home, [entry(20)], 40)
        archives.copier.copy()
        row = history_files.last_seq(home.journal)
        assert explaining.logged(home, IDS[3]) == (entry(3)["features"], 1)
        archives.work()
        (found,) = archives.by_ids(["0f3a5c7e9b1d-14"]).values()
        assert found["seq"] == row + 1


def test_doctor_says_which_file_is_damaged(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    with opened(home) as archives:
        archived(archives)
    first = history_files.all_files(home.journal)[0]["object"]
    with (home.logs / first).open("r+b") as file:
        file.write(b"XXXX")
    with pytest.raises(DatasetDamaged, match=first):
        report.describe(home)
