"""Two versions compared: on the same rows, by their records and data; and the tests' figures against scipy."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import stories
from scipy.stats import binomtest
from sites import Client
from stories import SCHEMA, Story

from retraind.daemon.artifacts.judged_rows import JudgedRows
from retraind.daemon.artifacts.manifest import read_manifest, seal
from retraind.daemon.schema.schema import Schema
from retraind.web.pages.version import same_rows
from retraind.web.pages.version.same_rows import Side

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def judged(
    keys: list[int], truth: list[float], answers: list[float], rows: int = 100, sure: float = 0.75
) -> JudgedRows:
    features = np.array([[key + 0.5, key % 2] for key in keys][:rows], dtype=np.float32).reshape(-1, 2)
    confidence = np.full(len(keys), sure)
    return JudgedRows(np.array(keys, dtype=np.uint64), np.array(truth), np.array(answers), confidence, features)


def keep(story: Story, version: int, rows: JudgedRows) -> None:
    """Give a version its judged rows, as the trainer does before it seals the bundle."""
    folder = story.home.bundle(version)
    with closing(sqlite3.connect(story.home.journal)) as journal, journal:
        (recorded,) = journal.execute("SELECT bundle FROM versions WHERE version = ?", (version,)).fetchone()
        sealed = seal(folder, read_manifest(folder, recorded).model_copy(update={"files": rows.write(folder)}))
        journal.execute("UPDATE versions SET bundle = ? WHERE version = ?", (sealed, version))


def get(story: Story, query: str, path: str = "/dashboard/compare") -> tuple[int, str]:
    status, _, body = Client(story.home).ask("GET", path, b"", QUERY_STRING=query, HTTP_ACCEPT="text/html")
    return status, body.decode()


@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 9), (9, 1), (5, 5), (0, 3), (700, 900)])
def test_mcnemar_is_the_exact_test(left: int, right: int) -> None:
    expected = binomtest(min(left, right), left + right).pvalue if left + right else 1.0
    assert same_rows.mcnemar(left, right) == pytest.approx(expected)


def test_interval_of_a_difference_covers_the_truth() -> None:
    """95 % of the intervals of many samples hold the difference that made them."""
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(2000):
        draws = random.random(60)
        left, right = int((draws < 0.06).sum()), int(((draws >= 0.06) & (draws < 0.16)).sum())
        _, low, high = same_rows.paired_difference(left, right, 60)
        covered += low <= 0.04 <= high
    assert 0.93 <= covered / 2000 <= 0.995


def test_rows_are_matched_by_key_and_classes_by_name() -> None:
    turned = SCHEMA.model_copy(update={"classes": ["versicolor", "setosa"]})
    left = Side(judged([1, 2, 3, 5], [0, 0, 1, 1], [0, 1, 1, 0]), SCHEMA)
    right = Side(judged([2, 3, 4, 5], [1, 0, 0, 0], [1, 1, 0, 0], rows=0), turned)
    same = same_rows.compare(left, right)
    assert same
    assert (same["n"], same["only_left"], same["only_right"], same["differing"]) == (3, 1, 2, 3)
    assert same["left"] == pytest.approx(1 / 3)
    row = next(row for row in same["rows"] if row["features"]["petal, length"] == "2.5")
    assert (row["truth"], row["left"]["answer"], row["right"]["answer"]) == ("setosa", "versicolor", "setosa")
    assert row["features"]["it's"] == "red"
    assert {(pair["truth"], pair["answer"]): (pair["left"], pair["right"]) for pair in same["confused"]} == {
        ("setosa", "setosa"): (0, 1),
        ("setosa", "versicolor"): (1, 0),
    }


def test_regression_compares_errors() -> None:
    schema = Schema(task="regression", target="price", columns=SCHEMA.columns)
    random, keys = np.random.default_rng(6), list(range(200))
    truth = random.normal(0, 10, 200)
    near, far = truth + random.normal(0, 1, 200), truth + random.normal(0, 3, 200)
    old, new = (Side(judged(keys, truth.tolist(), each.tolist(), sure=np.nan), schema) for each in (far, near))
    same = same_rows.compare(old, new)
    assert same
    assert same["low"] < same["difference"] < same["high"] < 0
    assert same["left"] == pytest.approx(np.abs(far - truth).mean())
    assert same["rows"][0]["left"].keys() == {"answer", "off"}
    assert len(same["rows"]) == same_rows.SHOWN


def test_page_shows_the_same_rows_and_the_records(well: Story) -> None:
    well.judge(2, "promoted", old=3, n=90)
    keys, truth = list(range(40)), [0.0, 1.0] * 20
    wrong = [1.0 - truth[place] if place < 10 else truth[place] for place in range(40)]
    keep(well, 1, judged(keys, truth, wrong))
    keep(well, 2, judged(keys, truth, truth))
    status, page = get(well, "versions=1,2")
    assert status == 200
    assert "n = 40 rows" in page
    assert "v2 is better" in page
    assert "Only v1 is right on 0 rows, only v2 on 10" in page
    assert "p = 0.002" in page
    assert "10 of 10" in page
    content = json.loads(get(well, "versions=1,2", "/compare")[1])
    assert content["same"]["n"] == 40
    assert (content["left"]["number"], content["right"]["number"]) == (1, 2)


def test_equal_versions_have_no_clear_difference(well: Story) -> None:
    well.judge(2, "refused")
    for version in (1, 2):
        keep(well, version, judged([1, 2], [0, 1], [0, 0]))
    page = get(well, "versions=1,2")[1]
    assert "No clear difference" in page
    assert "None: both answer each class equally often." in page


@pytest.mark.parametrize("kept", [(), (1,), (1, 2)])
def test_reason_without_common_rows(well: Story, kept: tuple[int, ...]) -> None:
    well.judge(2, "refused")
    for version in kept:
        keep(well, version, judged([version], [0], [0]))
    page = get(well, "versions=1,2")[1]
    assert {0: "answers of v1", 1: "answers of v2", 2: "No row that both held out"}[len(kept)] in page
    assert "is better" not in page


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("versions=1", 422),
        ("versions=1,x", 422),
        ("versions=1,2,3", 422),
        ("versions=1,99", 404),
        ("versions=0,1", 422),
    ],
)
def test_wrong_questions(well: Story, query: str, status: int) -> None:
    for path in ("/dashboard/compare", "/compare"):
        assert get(well, query, path)[0] == status


def test_drops_of_one_version_only(well: Story) -> None:
    well.accept("second.csv")
    row: Any = {"mlflow_run": "f" * 32, "candidate": "forest", "backend": "onnx", "revision": f"{2:040x}"}
    row |= {"dvc_md5": "d" * 32, "rows": 100, "trained_rows": 80, "trigger": "new rows", "version": 2}
    row |= {"bundle": "0" * 64, "scores": json.dumps(well.scores(1, None, 60))}
    from retraind.daemon.core.states import VersionState

    well.journal.versions.judge(row, VersionState.REFUSED, "No.")
    content = json.loads(get(well, "versions=1,2", "/compare")[1])
    assert [drop["name"] for drop in content["added"]["newest"]] == ["second.csv"]
    assert (content["added"]["count"], content["added"]["rows"], content["removed"]["count"]) == (1, 50, 0)


def test_page_serves_either_version_and_names_what_was_forgotten(well: Story) -> None:
    well.judge(2, "promoted", old=1)
    assert "data-action" not in get(well, "versions=1,2")[1], "the files that serve v1 were removed"
    (well.home.bundle(1) / "model.onnx").touch()
    page = get(well, "versions=1,2")[1]
    assert 'data-action="promote" data-from="2" data-to="1"' in page
    assert 'data-to="2"' not in page
    assert "Forgotten since" not in page
    drop = well.journal.drops.taken(well.drop("iris.csv")["sha256"])
    assert drop
    well.journal.erasures.forget(drop, "0.parquet", 50, None, "ada")
    assert "trained on 1 drop that was forgotten since" in get(well, "versions=1,2")[1]
