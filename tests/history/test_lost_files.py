"""retraind.daemon.history: what is lost is said, and nothing else waits for it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archives import SCHEMA, Archives, build_here, entry, ids_in_files, opened, trained, write_log

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.history import archiving
from retraind.daemon.history.fitting import Fitting
from retraind.daemon.history.searching import Search
from retraind.daemon.ingest.reading.late_labels import Labels
from retraind.daemon.records.records import Records
from retraind.daemon.records.search import history_files
from retraind.daemon.records.search.old_predictions import PredictionFilter, Stretch

FIRST, SECOND = "0f3a5c7e9b1d-1", "0f3a5c7e9b1d-1389"
"""A prediction of each day."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(archiving, "_built", build_here)
    home = Home(tmp_path)
    home.make()
    return home


@pytest.fixture
def archives(home: Home) -> Iterator[Archives]:
    """Two files: 10 predictions of one day and one of the next."""
    write_log(home, [entry(number) for number in [*range(10), 5001]])
    with opened(home) as archives:
        trained(archives, 1)
        archives.work()
        yield archives


def path_of(home: Home, identity: str) -> Path:
    ((file, _),) = history_files.holding(home.journal, [identity])
    return home.logs / file["object"]


def flip(path: Path) -> None:
    """Other bytes, as many: by the size it is whole."""
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes(len(data) - 200) + data[-100:])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "flipped": flip,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_labels_do_not_wait_for_a_lost_file_and_say_the_reason(
    archives: Archives, damage: Callable[[Path], object]
) -> None:
    path = path_of(archives.home, FIRST)
    whole = path.read_bytes()
    damage(path)
    labels = Labels(archives.home, archives.journal, old=archives)
    joined = labels.join([FIRST, SECOND, "0f3a5c7e9b1d-ffff"], ["low", "low", "low"], SCHEMA)
    assert joined.rows.tolist() == [1]
    lost, unknown = (bad.reason for bad in joined.bad)
    assert str(path) in lost
    assert "once the file is back" in lost
    assert "predictions.keep_days" in unknown
    assert archives.lost_files.problem is not None
    assert archives.lost_files.problem.startswith("10 old predictions can't be read: ")
    path.write_bytes(whole)
    archives.lost_files.look()
    assert archives.lost_files.problem is None
    assert labels.join([FIRST], ["low"], SCHEMA).rows.tolist() == [0]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_page_goes_on_beyond_a_lost_file(archives: Archives, damage: Callable[[Path], object]) -> None:
    damage(path_of(archives.home, SECOND))
    fitting = Fitting(archives.home, PredictionFilter())
    page = Search(archives.home, archives.place, fitting, Stretch(20)).page()
    assert [row["prediction_id"] for row in page.rows] == [f"0f3a5c7e9b1d-{number:x}" for number in reversed(range(10))]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_loss_is_noticed_before_its_predictions_are_asked_for(
    archives: Archives, damage: Callable[[Path], object]
) -> None:
    damage(path_of(archives.home, SECOND))
    for _ in range(2):  # one file in turn is read whole
        archives.lost_files.look()
    assert "1 old prediction can't be read" in (archives.lost_files.problem or "")


def test_files_that_cannot_be_examined_are_no_green_status(archives: Archives) -> None:
    path = path_of(archives.home, FIRST)
    kept = path.rename(path.with_suffix(".kept"))
    path.mkdir()  # reading it fails, also for root
    steps(archives, 0.0)
    assert "can't be examined" in (archives.lost_files.problem or "")
    with pytest.raises(Unavailable):
        archives.by_ids([FIRST])
    path.rmdir()
    kept.rename(path)
    steps(archives, 60.0)
    assert archives.lost_files.problem is None


def steps(archives: Archives, now: float) -> None:
    """Begin a look, and wait for its end."""
    assert archives.lost_files.step(now)
    deadline = time.monotonic() + 10
    while archives.lost_files._looking is not None:
        assert time.monotonic() < deadline
        archives.lost_files.step(now)
        time.sleep(0.01)


def test_a_look_begins_at_once_and_then_after_its_interval(archives: Archives) -> None:
    assert archives.lost_files.step(0.0)
    deadline = time.monotonic() + 10
    while archives.lost_files.step(59.0) is False and time.monotonic() < deadline:
        if archives.lost_files.step(60.0):
            return
        time.sleep(0.01)
    pytest.fail("no second look")


def test_what_waited_becomes_a_file_when_the_setting_goes_back(home: Home) -> None:
    waits = Settings(predictions=Predictions(history="parquet", keep_rows=2))
    back = Settings(predictions=Predictions(keep_rows=2))
    today = time.strftime("%Y%m%d", time.gmtime())
    log = write_log(home, [entry(number) for number in range(10)])
    log = log.rename(log.with_name(f"predictions-0-{today}T000000000000-1.jsonl"))
    with opened(home, settings=waits) as archives:
        trained(archives, 1)
        archives.work()
    assert log.exists(), "it neither fills a file nor is its day over"
    write_log(home, [entry(number) for number in range(20, 25)], second=1)
    with opened(home, settings=back) as archives:
        archives.work()
        archives.copier.copy()
    assert not list(home.logs.glob("*.jsonl"))
    assert ids_in_files(home) == [f"0f3a5c7e9b1d-{number:x}" for number in range(10)]
    assert len(Records(home).predictions.newest(10)) == 2
    assert not history_files.waiting_logs(home.history)
