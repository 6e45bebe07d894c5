"""Trends by evidence: the worst drop is one with enough rows, and a version's fall has its figures."""

import time
from typing import Any

import pytest
import stories
from sites import Client
from stories import Story

from retraind.daemon.core.journal_rows import ExamRecord
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.trends.series import Series, values
from retraind.daemon.core.trends.spans import Span
from retraind.daemon.ingest import exam_scores
from retraind.daemon.records.drops import exams
from retraind.daemon.records.trends import reader
from retraind.daemon.records.versions import Versions
from retraind.daemon.trends.gatherer import Gatherer
from retraind.web.pages.trend_records import scored, worst_drop

story = pytest.fixture(stories.story)

SMALL = "Drops of fewer than 20 rows are not compared."


def clock(at: float) -> str:
    return time.strftime("%H:%M", time.gmtime(at))


def exam(name: str, n: int, error: float, usual: float = 0.04) -> ExamRecord:
    figures: Any = {"n": n, "error": error, "usual": usual, "mix": 0.0, "shifts": "{}", "suspicious": 0, "reason": ""}
    figures |= {"drop": name and "ab" * 32, "name": name, "version": 1}
    record: ExamRecord = figures
    return record


def trends(story: Story) -> str:
    gatherer = Gatherer(story.home, Settings())
    gatherer.lead()
    gatherer.gather()
    return Client(story.home).ask("GET", "/dashboard/trends", QUERY_STRING="range=1h")[2].decode()


def test_one_wrong_row_is_not_the_worst_drop(story: Story) -> None:
    """Single-row drops share an exam; the poisoned drop of 99 rows is the one to look at."""
    batch = story.accept("iris.csv")
    story.journal.exams.record([exam("", 1, 1.0), exam("nightly-a.csv", 99, 0.68), exam("twenty.csv", 20, 0.7)], batch)
    page = trends(story)
    assert "The worst drop was nightly-a.csv at " in page
    assert f"an error of 0.68 on 99 rows, usually 0.04. {SMALL}" in page
    [(_, row), *_] = reader.figures(story.home.trends, Span.MINUTE, 0, 2**40)
    assert values(row, Series.EXAM)["error"] == 0.7


@pytest.mark.parametrize(
    ("examined", "says"),
    [
        ([], SMALL),
        ([exam("a.csv", 50, 0.0)], f"The served version was right on all rows that it was examined on. {SMALL}"),
        ([exam("a.csv", 20, 0.1)], "No drop was clearly worse than usual; the nearest to it was a.csv at "),
        ([exam("a.csv", 40, 3.1, 1.0), exam("b.csv", 400, 2.9, 1.0)], "The worst drop was b.csv at "),
        ([exam("", 99, 0.68)], "The worst drop was a drop without a name (forgotten since, or small ones together) at"),
    ],
)
def test_the_sentence_by_evidence(story: Story, examined: list[ExamRecord], says: str) -> None:
    story.journal.exams.record(examined, story.accept("iris.csv"))
    stored = exams.of_time(story.home.journal, "2000", "3000")
    assert worst_drop(stored, clock).startswith(says)


def test_the_least_rows_are_those_of_an_exam() -> None:
    assert exams.LEAST_ROWS == exam_scores.LEAST_ROWS


def test_a_chart_shows_the_held_out_score_of_each_version(story: Story) -> None:
    story.accept("iris.csv")
    story.judge(1, "promoted", wrong=2)
    story.judge(2, "promoted", wrong=12, old=3)
    page = trends(story)
    assert '<section class="panel trend" id="trend-held_out"' in page
    assert "v2 has 0.800, v1 on the same rows 0.950.</figcaption>" in page
    story.judge(3, "refused", wrong=6, old=12)
    newest = Versions(story.home).newest()
    assert scored(newest, clock).startswith("v3 has 0.900, v2 on the same rows 0.800. The lowest was v2 with 0.800 at ")
