"""The pages of versions over HTTP: a real journal and bundles, old and new, and hostile names."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
import stories
from sites import Client
from stories import HOSTILE, SCHEMA, Story, score

from retraind.daemon.artifacts import evaluation
from retraind.daemon.artifacts.evaluation import Evaluation
from retraind.daemon.artifacts.manifest import EVALUATION, read_manifest, seal
from retraind.daemon.records.records import Records
from retraind.web.pages.plots import Scale
from retraind.web.pages.version import evaluation_charts

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)

CURVE: Any = {"roc": [(0, 0), (0.1, 0.8), (1, 1)], "precision_recall": [(0.5, 1), (1, 0.5)]}
DETAILED: Any = {
    "n": 60,
    "total": 90,
    "calibration": {"ece": 0.123, "bins": [{"n": 60, "confidence": 0.9, "right": 0.777}]},
    "curves": [
        {"name": name, "n": 30, "roc_auc": area, "average_precision": 0.7, **CURVE}
        for name, area in (("setosa", 0.91), ("<i>versicolor</i>", 0.82))
    ],
    "classes": 2,
}


def get(story: Story, path: str, query: str = "") -> tuple[int, str]:
    status, _, body = Client(story.home).ask("GET", path, b"", QUERY_STRING=query, HTTP_ACCEPT="text/html")
    return status, body.decode()


def serves(story: Story, version: int) -> None:
    """Give a version's bundle the model that an old one has lost."""
    (story.home.bundle(version) / "model.onnx").write_bytes(b"graph")


def detail(story: Story, version: int, detailed: Evaluation) -> None:
    """Give a version an evaluation, as the trainer does before it seals the bundle."""
    folder = story.home.bundle(version)
    with closing(sqlite3.connect(story.home.journal)) as journal, journal:
        (recorded,) = journal.execute("SELECT bundle FROM versions WHERE version = ?", (version,)).fetchone()
        manifest = read_manifest(folder, recorded)
        sealed = seal(folder, manifest.model_copy(update={"files": evaluation.write(folder, detailed)}))
        journal.execute("UPDATE versions SET bundle = ? WHERE version = ?", (sealed, version))


def test_version_shows_its_scores_with_intervals_and_rows(well: Story) -> None:
    well.judge(2, "promoted", old=3, n=90)
    serves(well, 1)
    serves(well, 2)
    status, page = get(well, "/dashboard/versions/2")
    assert status == 200
    assert "The gate&#39;s sentence about version 2." in page
    assert "v1, which served then" in page
    for figure in ("0.989", "0.967", "held-out rows of the reference", "0.940–0.998"):
        assert figure in page, figure
    assert 'href="../../dashboard/compare?versions=1,2"' in page
    assert 'data-action="rollback" data-from="2" data-to="1"' in page
    assert 'data-action="promote"' not in page
    assert 'href="../../versions/2/export?format=mlflow" download' in page
    old = get(well, "/dashboard/versions/1")[1]
    assert "Serve v1 instead of v2" in old


def test_version_that_was_rolled_back_says_so_and_why_it_no_longer_serves(well: Story) -> None:
    """And the button that would serve it again warns of rows that have been forgotten."""
    batch = well.accept("nightly-a.csv")
    well.judge(2, "promoted", old=1, batch=batch)
    serves(well, 1)
    serves(well, 2)
    well.journal.swaps.record(1, 2, "By request (rollback, cli).")
    well.point(1, well.journal.versions.get(1)["bundle"])  # type: ignore[index]
    drop = Records(well.home).drops.newest(1)[0]
    well.journal.erasures.forget(drop, f"{batch - 1}.parquet", 50, None, "cli")
    page = get(well, "/dashboard/versions/2")[1]
    assert "Why it ended" in page
    assert 'versions/1">v1</a>: <bdi>By request (rollback, cli).' in page
    assert "Rolled back <bdi>20" in page
    doubt = "Version 2 was trained on rows that have been forgotten since: nightly-a.csv."
    assert f'data-to="2" data-doubt="{doubt}"' in page
    assert f"<bdi>{doubt}</bdi>" in page


def test_version_without_curves_says_so_and_one_with_them_shows_them(well: Story) -> None:
    assert "Not kept for this version" in get(well, "/dashboard/versions/1")[1]
    detail(well, 1, DETAILED)
    page = get(well, "/dashboard/versions/1")[1]
    assert "Not kept for this version" not in page
    assert "n = 60 of 90 held-out rows" in page
    assert "0.123" in page
    assert "&lt;i&gt;versicolor" in page
    assert "<i>versicolor" not in page
    content = json.loads(Client(well.home).ask("GET", "/versions/1")[2])
    assert content["evaluation"]["calibration"]["ece"] == 0.123


def test_changed_evaluation_is_not_shown(well: Story) -> None:
    detail(well, 1, DETAILED)
    (well.home.bundle(1) / EVALUATION).write_text('{"n": 1}')
    assert "Not kept for this version" in get(well, "/dashboard/versions/1")[1]


def test_many_classes_are_lists_of_the_worst(story: Story) -> None:
    names = [f"class {number:03d} {HOSTILE[0]}" for number in range(100)]
    figures = score(200, 0)
    figures["recall"] = {name: 0.5 if name == names[42] else 1.0 for name in names}
    figures["support"] = dict.fromkeys(names, 2)
    figures["confusion"] = [[2 * (row == column) for column in range(100)] for row in range(100)]
    figures["confusion"][42][42], figures["confusion"][42][7] = 1, 1
    scores = {"challenger": {"rolling": figures, "reference": figures}}
    story.accept("a.csv")
    story.record(1, "promoted", scores, SCHEMA.model_copy(update={"classes": names}))
    page = get(story, "/dashboard/versions/1")[1]
    assert len(page) < 100_000
    assert page.index("class 042") < page.index("class 000")
    assert "<script>alert" not in page
    assert "Most frequent confusions" in page
    overview = get(story, "/dashboard")[1]
    assert overview.count('<th scope="col">') < 10
    assert overview.index("class 042") < overview.index("class 000")
    assert "20 of 100 classes with the lowest recall" in overview


def test_candidates_that_the_budget_has_cut_are_shown(story: Story) -> None:
    """Each with its reason, and what all would need."""
    reason = "train.budget_seconds = 900 was used up: 2 of 5 folds had ended, all need about 1,500 s."
    scores: Any = {
        "left_out": {"forest": reason},
        "cut": {"sentence": "All need about 2,700 s.", "seconds": {"forest": 1500.0}},
    }
    story.record(1, "promoted", scores, SCHEMA)
    page = get(story, "/dashboard/versions/1")[1]
    assert reason in page
    assert "All need about 2,700 s." in page


def test_no_such_version(well: Story) -> None:
    for key in ("99", "x", "0", "-1", "9" * 30):
        status, page = get(well, f"/dashboard/versions/{key}")
        assert (status, "There is no version" in page) == (404, True)


def test_held_version_can_be_promoted_or_refused_by_an_admin(well: Story) -> None:
    well.judge(2, "held")
    assert "can't be served any more" in get(well, "/dashboard/versions/2")[1]
    serves(well, 2)
    page = get(well, "/dashboard/versions/2")[1]
    assert 'data-action="refuse" data-to="2"' in page
    assert "Promote v2 instead of v1" in page


def test_versions_page_lists_all_with_links(well: Story) -> None:
    for number in range(2, 7):
        well.judge(number, "refused")
    status, page = get(well, "/dashboard/versions", "limit=3")
    assert status == 200
    assert [number for number in range(1, 7) if f'/dashboard/versions/{number}"' in page] == [4, 5, 6]
    assert 'href="../dashboard/versions?before=4"' in page
    page = get(well, "/dashboard/versions", "before=4")[1]
    assert 'rel="next"' not in page


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (-61_900, 58_500, ["-50,000", "0", "50,000"]),
        (3, 3, ["2.6", "2.8", "3", "3.2", "3.4"]),
        (0, 18, ["0", "5", "10", "15"]),
    ],
)
def test_ticks_are_round(low: float, high: float, texts: list[str]) -> None:
    assert [tick["text"] for tick in Scale(low, high, 0, 100).ticks()] == texts


def test_regression_charts_hold_all_bins() -> None:
    bins: Any = [
        {"n": 5, "answer": at, "truth": at, "low": -2.0, "middle": 0.0, "high": 1.0} for at in (10.0, 20.0, 20.0)
    ]
    charts = evaluation_charts.of(
        {"n": 15, "total": 15, "residuals": {"edges": [-2, 0, 1], "counts": [5, 10], "bins": bins}}
    )
    assert charts["histogram"]
    assert charts["by_answer"]
    assert [bar["height"] for bar in charts["histogram"]["bars"]] == [101.0, 202.0]
    assert len(charts["by_answer"]["dots"]) == 3
    assert charts["roc"] is None
