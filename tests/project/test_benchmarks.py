"""The benchmarks' commands and their arithmetic; nothing here is timed."""

import math
import random
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import inputs
from benchmarks.figures import figure, percentile, ratio, spread
from benchmarks.harness import running
from benchmarks.ingest import (
    ingest_growth,
    ingest_idle,
    ingest_large,
    ingest_peers,
    ingest_pyarrow,
    ingest_reading,
    ingest_small,
)
from benchmarks.rows import header, lines
from benchmarks.serve import (
    serve_batch,
    serve_models,
    serve_peers,
    serve_slow,
    serve_speed,
    serve_swaps,
    serve_wrk,
)
from benchmarks.train import retrain_large
from benchmarks.train.retrain_large import Measured, Side

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "name",
    [
        "ingest.ingest",
        "train.loop",
        "serve.swaps",
        "serve.nodes",
        "serve.node_faults",
        "serve.node_rate",
        "serve.history",
        "serve.restart",
        "train.quality",
        "train.retrain",
        "serve.serve",
        "gate.poison",
        "gate.exams",
        "train.models",
        "month.month",
        "ingest.footprint",
        "ingest.store",
        "ingest.bucket",
        "ingest.ingest_journals",
        "serve.install",
    ],
)
def test_help_says_what_is_measured(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / f"benchmarks/{name.replace('.', '/')}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


def test_every_benchmark_is_documented() -> None:
    text = (ROOT / "docs/benchmarks.md").read_text()
    documented = [
        ".".join(path.relative_to(ROOT / "benchmarks").with_suffix("").parts)
        for path in (ROOT / "benchmarks").rglob("*.py")
        if 'prog="python -m' in path.read_text()
    ]
    assert len(documented) >= 5
    assert [name for name in documented if f"python -m benchmarks.{name}" not in text] == []


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.25, 1.0), (0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([4.0, 2.0, 1.0, 3.0], share) == expected


def test_percentile_of_a_thousand_keeps_one_above_p999() -> None:
    values = [float(number) for number in range(1, 1001)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 0.999)) == (500.0, 990.0, 999.0)


def test_figures_of_nothing_say_so() -> None:
    assert math.isnan(percentile([], 0.5))
    assert figure(math.nan) == "-"
    assert spread([]) == ["-", "-", "-"]


def test_ratio_names_how_many_times() -> None:
    assert ratio(16.0, 2.0) == "8x"
    assert ratio(1.0, 3.0) == "0.333x"


@pytest.mark.parametrize(("value", "base"), [(1.0, 0.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan)])
def test_ratio_without_meaning_is_a_dash(value: float, base: float) -> None:
    assert ratio(value, base) == "-"


def test_spread_is_median_least_most() -> None:
    assert spread([3.0, 1.0, 2.0]) == ["2.000", "1.000", "3.000"]


def test_rows_are_whole_and_differ() -> None:
    source = random.Random(0)
    first, second = lines(source, 60), lines(source, 60)
    assert first != second
    assert {line.count(",") for line in (header() + first).splitlines()} == {4}
    assert [line.rsplit(",", 1)[1] for line in first.splitlines()[:3]] == ["setosa", "versicolor", "virginica"]


def test_small_files_hold_each_row_once(tmp_path: Path) -> None:
    size = inputs.small_files(tmp_path / "one", 7, 10, seed=1)
    assert size == sum(path.stat().st_size for path in (tmp_path / "one").iterdir())
    rows = inputs.dropped(tmp_path / "one")
    assert set(rows.values()) == {1}
    assert rows.total() == 70


def test_a_lost_row_and_a_doubled_one_both_differ(tmp_path: Path) -> None:
    inputs.small_files(tmp_path / "one", 1, 3, seed=1)
    rows = inputs.dropped(tmp_path / "one")
    first = next(iter(rows))
    assert inputs.differing(rows, rows) == 0
    assert inputs.differing(rows, rows + Counter([first])) == 1
    assert inputs.differing(rows, rows - Counter([first])) == 1


def test_a_large_file_has_the_columns_of_its_schema(tmp_path: Path) -> None:
    inputs.large_file(tmp_path / "large.csv", 100, seed=1)
    first, *rows = (tmp_path / "large.csv").read_text().splitlines()
    assert first.split(",") == [*inputs.WIDE_SCHEMA.features, inputs.WIDE_TARGET]
    assert len(rows) == 100
    assert {row.count(",") for row in rows} == {19}
    assert {row.rsplit(",", 1)[1] for row in rows} <= set(inputs.LABELS)


def test_spark_is_left_out_with_a_reason() -> None:
    with pytest.raises(ingest_peers.Unavailable, match="--peers"):
        ingest_peers.spark_python(None)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_small_files_and_an_idle_service_are_measured() -> None:
    with running(**ingest_small.QUIET) as service:
        measured = ingest_small.measure(service, files=20, repeat=2, rate=20, quiet_seconds=0.2)
        shares = ingest_idle.measure(service, rejected=5, seconds=0.2)
    assert measured.differing == 0
    assert [one.files for one in measured.rounds] == [20, 20]
    assert {len(row) for row in ingest_small.table("alone", measured)} == {len(ingest_small.COLUMNS)}
    assert {len(row) for row in ingest_small.asked_table("alone", measured)} == {len(ingest_small.ASKED_COLUMNS)}
    assert {"daemon", "trainer", "worker 1"} <= shares.keys()


def test_pyarrow_alone_is_the_limit_for_a_large_file() -> None:
    """Its rows fit into the table of large files, with our share of its speed."""
    plain = ingest_pyarrow.megabytes_per_second(2000)
    assert plain > 0
    table = ingest_pyarrow.rows(plain, plain / 4)
    assert {len(row) for row in table} == {len(ingest_large.COLUMNS)}
    assert "0.25x" in table[1][4]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_large_files_are_measured() -> None:
    before, measured, reading = ingest_large.measure(rows=500, many=2)
    assert [(one.files, one.lacking) for one in measured] == [(1, 0), (2, 0)]
    assert {len(row) for row in ingest_large.table(before, measured)} == {len(ingest_large.COLUMNS)}
    assert {len(row) for row in reading} == {len(ingest_reading.COLUMNS)}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_constructed_dataset_goes_on_like_an_ingested_one() -> None:
    with ingest_growth.stages([3], 40, 2) as stages:
        pass
    assert [(stage.batches, stage.how, len(stage.timings)) for stage in stages] == [
        (3, "ingested", 2),
        (40, "constructed", 2),
    ]
    assert stages[1].live < 40
    assert {len(row) for row in ingest_growth.table(stages)} == {len(ingest_growth.COLUMNS)}
    assert {len(row) for row in ingest_growth.cache_table(stages)} == {len(ingest_growth.CACHE_COLUMNS)}
    assert {len(row) for stage in stages for row in stage.reading} == {len(ingest_reading.COLUMNS)}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_script_of_the_peer_commits_each_file(tmp_path: Path) -> None:
    assert ingest_peers.script(tmp_path / "script", 1) > 0
    log = subprocess.run(["git", "log", "--format=%s"], cwd=tmp_path / "script", capture_output=True, text=True)
    assert log.stdout.split() == ["drop-1.csv", "drop-0.csv"]


def test_loading_ends_where_the_first_fold_begins() -> None:
    stages = [("reading the data", 0.5), ("cross-validating tree", 2.0), ("cross-validating tree", 7.0)]
    ours = Side(
        14.0, 300, {"tree": 8.0}, [*stages, ("fitting tree", 10.0), ("logging to MLflow", 13.0), ("done", 14.0)]
    )
    theirs = Side(8.0, 200, {"tree": 8.0})
    figures = {row[0]: row[1:] for row in retrain_large.table(Measured(ours, theirs, 100))}
    assert figures["loading, s"][0] == "1.50"
    assert figures["loading and comparing, s"][:2] == ["9.50", "8.00"]
    assert figures["- against scikit-learn"][0] == "1.19x"
    assert figures["peak memory, of the float64 frame"][:2] == ["3x", "2x"]


@pytest.mark.slow
def test_a_training_is_measured_beside_scikit_learn(tmp_path: Path) -> None:
    measured = retrain_large.measure(tmp_path, 3000, 2, ["tree", "logistic"])
    assert measured.frame == 3000 * 20 * 8
    assert set(measured.ours.fits) == set(measured.theirs.fits) == {"tree", "logistic"}
    assert measured.ours.stages[-1][0] == "done"
    assert {len(row) for row in retrain_large.table(measured)} == {4}


ASKED = serve_models.rows()[0][0].tolist()


def test_every_peer_has_its_pins() -> None:
    for peer in serve_peers.PEERS:
        pins = (serve_peers.PINS / f"{peer.name}.txt").read_text().splitlines()
        assert all("==" in line for line in pins)
        assert any(line.startswith("scikit-learn==") for line in pins)


@pytest.mark.slow
def test_a_peer_that_can_not_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_peers, "PINS", tmp_path)
    (tmp_path / "flask.txt").write_text("no-such-package-of-ours==1.0\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(serve_peers.Unavailable, match="no-such-package-of-ours"):
        serve_peers.python_of("flask", tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_worker_is_measured(tmp_path: Path) -> None:
    homes = {name: serve_models.make_home(tmp_path / name, serve_models.estimator(name)) for name in serve_models.NAMES}
    if serve_wrk.missing() is None:
        ours = serve_speed.measure(homes, ASKED, 1)
        assert {len(row) for row in serve_speed.table(ours)} == {len(serve_speed.COLUMNS)}
        assert ours.models["forest"].failed == ours.empty.failed == 0
    tables = (
        (serve_slow.COLUMNS, serve_slow.measure(homes["forest"], ASKED, 50, 0.5)),
        (serve_batch.COLUMNS, serve_batch.measure(homes)),
        (serve_batch.BESIDE_COLUMNS, serve_batch.during_batches(homes["forest"], ASKED, 50, 0.5)),
        (serve_swaps.COLUMNS, serve_swaps.measure(homes["forest"], ASKED, 50, 3)),
        (serve_swaps.START_COLUMNS, serve_swaps.starts(homes["forest"], ASKED)),
    )
    for columns, rows in tables:
        assert {len(row) for row in rows} == {len(columns)}
    assert tables[3][1][0][1] == "3"
