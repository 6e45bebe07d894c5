"""retraind.daemon.history.searching, retraind.web.lists: pages go on in files where the database ends."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from archives import build_here, entry, opened, trained, write_log

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Predictions, Settings
from retraind.daemon.history import archiving, searching, writing
from retraind.daemon.history.files import HistoryPlace
from retraind.daemon.history.fitting import Fitting
from retraind.daemon.history.searching import Search
from retraind.daemon.records.records import Records
from retraind.daemon.records.search import history_files
from retraind.daemon.records.search.old_predictions import PredictionFilter, Stretch
from retraind.web.columnar.old_predictions import OldPredictionsReader
from retraind.web.lists import predictions
from retraind.web.pages.predicting import prediction

ROWS, RECENT = 600, 100


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Predictions of three processes, whose numbers take turns: the newest RECENT in the database, the others in files."""
    home = Home(tmp_path_factory.mktemp("old") / "home")
    home.make()
    settings = Settings(predictions=Predictions(history="parquet", rotate_bytes=20_000, keep_rows=RECENT))
    with pytest.MonkeyPatch.context() as patch, opened(home, settings=settings) as archives:
        patch.setattr(writing, "GROUP_ROWS", 16)
        patch.setattr(archiving, "_built", build_here)
        for version in (1, 2):
            trained(archives, version)
        for part in range(12):
            rows = [_row(part, number) for number in range(part * 50, part * 50 + 50)]
            write_log(home, rows, part)
            archives.copier.copy()
        archives.work()
    return home


def _row(part: int, number: int) -> dict[str, Any]:
    answer = {"prediction": 0, "prediction_name": "low"} if number % 7 == 0 else {}
    facts = {"model_version": 1 + part // 6, "confidence": round(number % 100 / 100, 2), "caller": f"c{number % 3}"}
    return entry(number, prediction_id=f"{part % 3:012x}-{number + 1:x}", **answer, **facts)


@pytest.fixture(scope="module")
def old(home: Home) -> Iterator[OldPredictionsReader]:
    with closing(OldPredictionsReader(home)) as reader:
        yield reader


def walk(home: Home, old: OldPredictionsReader, query: dict[str, str], limit: int = 40) -> list[int]:
    """The numbers on all pages, from the newest to the oldest and back, which must be the same pages."""
    seqs, pages, where = list[int](), list[list[int]](), dict[str, str]()
    while True:
        page = predictions.find(home, {**query, "limit": str(limit), **where}, old=old).page
        pages.append([row["seq"] for row in page.rows])
        seqs += pages[-1]
        if page.older is None:
            break
        where = {"below": str(page.older)}
    for above in reversed(pages[:-1]):
        page = predictions.find(home, {**query, "limit": str(limit), "above": str(page.newer)}, old=old).page
        assert [row["seq"] for row in page.rows] == above
    assert page.newer is None or pages[:-1] == []
    return seqs


def test_the_home_has_both_parts(home: Home) -> None:
    assert len(Records(home).predictions.newest(1000)) == RECENT
    assert len(history_files.all_files(home.journal)) > 3


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({}, lambda number: True),
        ({"version": "1"}, lambda number: number < 300),
        ({"class": "low"}, lambda number: number % 7 == 0),
        ({"caller": "c1"}, lambda number: number % 3 == 1),
        ({"confidence_from": "0.9"}, lambda number: number % 100 >= 90),
        ({"prediction_from": "1"}, lambda number: number % 7 != 0),
        ({"id": "000000000001-"}, lambda number: number // 50 % 3 == 1),
        ({"id": "00000000000"}, lambda number: True),
        ({"from": "2026-11-29T12:00:30", "to": "2026-11-29T12:00:40"}, lambda number: 30 <= number % 60 < 40),
        ({"label": "with"}, lambda number: False),
        ({"label": "without", "class": "low"}, lambda number: number % 7 == 0),
        ({"from": "2027-01-01"}, lambda number: False),
    ],
)
def test_every_row_that_fits_is_on_one_page(home: Home, old: OldPredictionsReader, query: Any, fits: Any) -> None:
    expected = [number + 1 for number in range(ROWS) if fits(number)]
    assert walk(home, old, query) == expected[::-1]


def test_a_page_that_the_time_limit_ends_goes_on_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SECONDS", 0.0)
    monkeypatch.setattr(searching, "FEW", 1)
    chosen, seqs, before = PredictionFilter(answer="low"), list[int](), 501
    for _ in range(200):
        page = Search(home, HistoryPlace(home, None), Fitting(home, chosen), Stretch(10, before)).page()
        seqs += [row["seq"] for row in page.rows]
        if page.rest is None:
            break
        before = page.rest
    assert seqs == [number + 1 for number in range(500) if number % 7 == 0][::-1]


def test_one_prediction_is_found_by_its_id(home: Home, old: OldPredictionsReader) -> None:
    key = f"000000000001-{60 + 1:x}"
    row = prediction.find(home, Records(home), key, old)
    assert (row["seq"], row["features"]) == (61, [6.0, 60, "red", None])
    assert "probabilities" not in row
    before = predictions.find(home, {"before": key, "limit": "1"}, old=old).page.rows
    assert [one["seq"] for one in before] == [60]


def test_a_reader_that_was_killed_starts_again(home: Home, old: OldPredictionsReader) -> None:
    assert old.find("000000000000-1") is not None
    assert old._process is not None
    old._process.kill()
    assert old.find("000000000000-1") is not None
