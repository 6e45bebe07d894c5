"""retraind.web.dashboard.serving, sections, lineage and chart: versions on the page. A real journal and pointer on disk."""

from dataclasses import replace

import pytest
import stories
from stories import Story, alive

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import Manifest
from retraind.daemon.core import durable
from retraind.daemon.core.journal_rows import SwapRow
from retraind.daemon.core.states import VersionState
from retraind.daemon.records.records import Records
from retraind.daemon.schema.scores import Scores, WorldChange
from retraind.web.dashboard import chart
from retraind.web.dashboard import serving as champion
from retraind.web.dashboard.answers.questions import gather
from retraind.web.pages.overview import render

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)


def test_version_after_forgetting_comes_from_the_other_drops(story: Story) -> None:
    """The batch that took rows away brought none, and no version was trained on its drop."""
    story.accept("iris.csv")
    story.accept("poison.csv")
    drop = story.journal.drops.taken(durable.sha256(b"poison.csv"))
    assert drop is not None
    seq = story.journal.erasures.forget(drop, "1.parquet", 50, None, "cli")
    story.journal.batches.commit(seq, f"{1:040x}", "d" * 32)
    story.judge(1, "promoted")
    drops, batch, *_ = story.document(alive())["lineage"]
    assert (drops["name"], batch["name"], batch["detail"]) == ("iris.csv", "no. 3 after 2 earlier", "50 rows forgotten")


def test_a_rollback_is_shown_once(story: Story) -> None:
    """Why the version is back stands in one place; rows that spoke for the other one say nothing against it."""
    story.accept("iris.csv")
    story.judge(1, "promoted")
    story.judge(2, "promoted", old=30)
    story.journal.versions.roll_back(2, "late labels tell against it")
    first = story.journal.versions.get(1)
    assert first is not None
    story.journal.swaps.record(1, 2, "Version 2 was rolled back: late labels tell against it")
    story.point(1, first["bundle"])
    _, serving, _, good = story.document(alive())["tiles"]
    assert serving["sentence"] == "v2 was rolled back: late labels tell against it"
    assert "rolled back" not in str(serving["facts"])
    assert good["headline"] == "0.983 accuracy"


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("onnx", ("ONNX", "within 1e-09 of scikit-learn")),
        ("treelite", ("treelite", "within 1e-09 of scikit-learn")),
        ("sklearn", ("scikit-learn", "neither ONNX nor treelite reproduces it")),
    ],
)
def test_the_backend_and_its_largest_difference_are_shown(well: Story, backend: str, said: tuple[str, str]) -> None:
    folder = well.home.bundle(1)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    well.point(1, bundle.seal(folder, manifest.model_copy(update={"backend": backend})))
    [page] = [one for one in well.document(alive())["tiles"][1]["facts"] if one["label"] == "runs on"]
    assert (page["value"], page["note"]) == said


def test_it_is_reported_what_it_was_trained_on_and_whose_score_it_is(well: Story) -> None:
    folder = well.home.bundle(1)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    twin = bundle.Twin(backend="onnx", input="float64", difference=0.0, trained_rows=80)
    well.point(1, bundle.seal(folder, manifest.model_copy(update={"twin": twin, "trained_rows": 100})))
    [page] = [one for one in well.document(alive())["tiles"][1]["facts"] if one["label"] == "trained on"]
    whose = "scores are of its judged model, fitted on 80 rows without the held-out ones"
    assert (page["value"], page["note"]) == ("100 of 100 rows", f"revision {'0' * 10}; {whose}")


def test_a_worker_that_lags_behind_the_pointer(well: Story) -> None:
    page = well.document(alive(), {"served_versions": [7]})
    assert page["tiles"][1]["state"] == "watch"
    assert "v7" in page["tiles"][1]["sentence"]


def test_rollback_names_the_version_that_served_before(well: Story) -> None:
    well.judge(2, "promoted", old=1)
    assert well.document(alive())["previous"] == 1
    assert 'data-from="2" data-to="1"' in render(well.document(alive()))


def test_a_version_brought_back_still_says_what_let_it_in(well: Story) -> None:
    well.judge(2, "promoted", old=1)
    well.journal.swaps.record(1, 2, "By request (rollback, http).")
    well.point(1, durable.sha256((well.home.bundle(1) / bundle.MANIFEST).read_bytes()))
    page = well.document(alive())
    assert page["tiles"][1]["sentence"] == "The gate's sentence about version 1."
    assert "By request (rollback, http)." in str(page["tiles"][1]["facts"])
    assert page["previous"] is None, "v2 was just left: another rollback would not go back to it"
    left = {row["number"]: row["left"] for row in page["versions"]}
    assert left[1] == ""
    assert left[2].endswith("UTC for v1: By request (rollback, http).")
    assert "v2 promoted, rolled back" in render(page)


def test_since_when_rows_judge_is_shown(well: Story) -> None:
    """Where the world has changed, the page says what the figures are of."""
    facts = gather(well.home, Records(well.home), alive(), {}, None)
    assert facts.champion is not None
    world: WorldChange = {"since": 1_772_496_000_000, "until": 1_772_668_800_000}
    scores: Scores = {**facts.champion["scores"], "world": world}
    tile = champion.serving(replace(facts, versions=[{**facts.champion, "scores": scores}]))
    assert [one["value"] for one in tile["facts"] if one["label"] == "judged by"] == ["rows since 3 March 2026"]
    assert "judged by" not in str(champion.serving(facts))


def test_trial_of_a_new_champion_is_shown(story: Story) -> None:
    """As soon as there are labels, until there are enough of them; a version that was brought back is on none."""

    def said(number: int, before: int | None, labels: int) -> list[str]:
        facts = gather(story.home, Records(story.home), alive(), {}, None)
        assert facts.pointer is not None
        pointer = facts.pointer.model_copy(update={"version": number})
        swap: SwapRow = {"id": 1, "version": number, "previous": before, "reason": "so", "at": facts.pointer.since}
        tile = champion.serving(replace(facts, pointer=pointer, swaps=[swap], live={"n": labels} if labels else None))
        return [one["value"] for one in tile["facts"] if one["label"] == "on trial"]

    story.accept("a.csv")
    story.judge(1, "promoted")
    story.judge(2, "promoted", old=1)
    assert said(2, 1, 12) == ["12 of 50 late labels"]
    assert said(2, 1, 60) == ["60 late labels"]
    assert said(2, 1, 0) == said(2, 1, 1000) == said(2, None, 12) == said(1, 2, 12) == []


def test_no_button_leads_back_to_what_was_rolled_back(story: Story) -> None:
    story.accept("a.csv")
    story.judge(1, "promoted")
    story.judge(2, "promoted", old=1)
    assert story.document(alive())["previous"] == 1
    story.journal.versions.roll_back(2, "late labels tell against it")
    first = story.journal.versions.get(1)
    assert first is not None
    story.journal.swaps.record(1, 2, "Version 2 was rolled back.")
    story.point(1, first["bundle"])
    assert story.document(alive())["previous"] is None


def test_a_version_that_waits_has_a_button(story: Story) -> None:
    """As long as it waits; who looks at the page need not find a terminal."""
    story.accept("a.csv")
    story.judge(1, "promoted")
    assert 'data-action="promote"' not in render(story.document(alive()))
    story.judge(2, "held", old=1)
    page = story.document(alive())
    assert page["held"] == 2
    assert "Promote v2</button>" in render(page)


@pytest.mark.parametrize(
    ("score", "figure"), [(0.0, "accuracy"), (0.5, "accuracy"), (1.0, "accuracy"), (0.999, "R²"), (-3.0, "R²")]
)
@pytest.mark.parametrize("count", [0, 1, 100])
def test_every_dot_is_inside_its_picture(score: float, figure: str, count: int) -> None:
    rows: list[chart.Plotted] = [
        {
            "number": n,
            "state": VersionState.PROMOTED,
            "champion": False,
            "score": score,
            "figure": figure,
            "n": 10**6,
            "left": "",
        }
        for n in range(count)
    ]
    picture = chart.points(rows, 340, 12)
    assert len(picture["dots"]) == min(count, 12)
    for dot in picture["dots"]:
        assert picture["left"] <= dot["x"] <= picture["right"]
        assert 0 <= dot["high"] <= dot["y"] <= dot["low"] <= picture["base"]
