"""retraind.daemon.export.export: what is refused, what is written, and that it is the same each time."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from service import REPOSITORY

from retraind.daemon.artifacts.bundle import KEPT
from retraind.daemon.core.errors import BadSettings, BundleRefused, Exit, NotExportable, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.export.export import archive, export
from retraind.daemon.export.format_names import Format


@pytest.fixture
def home(tmp_path: Path, served: Path) -> Home:
    """A home with one version of Iris, at rest."""
    shutil.copytree(served, tmp_path / "home", symlinks=True)
    return Home(tmp_path / "home")


def test_folder_has_an_example_a_readme_and_a_card(home: Home, tmp_path: Path) -> None:
    facts = export(home, 1, Format.ONNX, tmp_path / "out")
    assert facts["files"] == [
        "MODEL_CARD.md",
        "README.md",
        "example.json",
        "example.py",
        "model.onnx",
        "requirements.txt",
    ]
    readme, card = ((tmp_path / "out" / name).read_text() for name in ("README.md", "MODEL_CARD.md"))
    assert "one of the classes `setosa`, `versicolor`, `virginica`" in readme
    with closing(sqlite3.connect(home.journal)) as journal:
        name, sha256 = journal.execute("SELECT name, sha256 FROM drops").fetchone()
    for fact in (
        f"| {name} | `{sha256}` | 150 |",
        "## Scores",
        "| sepal\\_length | number | 4.3 to 7.9",
        "Wilson",
        "run 1,",
        "## Licence",
    ):
        assert fact in card, fact
    example = json.loads((tmp_path / "out" / "example.json").read_text())
    assert example["answers"][0]["label"] in ("setosa", "versicolor", "virginica")


@pytest.mark.parametrize("form", Format)
def test_same_version_gives_the_same_bytes_in_any_process(home: Home, tmp_path: Path, form: Format) -> None:
    """Neither the time, nor addresses in memory, nor the order of sets is in them; a copy of the home gives them, too."""
    shutil.copytree(home.root, tmp_path / "copy", symlinks=True)
    archive(home, 1, form, tmp_path / "here.zip")
    (other := tmp_path / "other").mkdir()
    command = [sys.executable, "-P", "-m", "retraind.daemon.export", str(tmp_path / "copy"), "1", form.value]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([*command, str(other / "v.zip")], check=True, cwd=REPOSITORY, env=environment)
    here, there = (zipfile.ZipFile(path) for path in (tmp_path / "here.zip", other / "v.zip"))
    assert {name.partition("/")[0] for name in here.namelist()} == {f"retraind-1-{form}"}
    assert [name for name in here.namelist() if here.read(name) != there.read(name)] == []
    assert (tmp_path / "here.zip").read_bytes() == (other / "v.zip").read_bytes()


def test_folder_that_has_something_is_left_alone(home: Home, tmp_path: Path) -> None:
    """An empty one is used; of a failed export nothing stays."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSettings, match="exists and is not empty"):
        export(home, 1, Format.ONNX, tmp_path / "full")
    with pytest.raises(BadSettings, match="exists and is no folder"):
        export(home, 1, Format.ONNX, tmp_path / "full" / "mine")
    export(home, 1, Format.ONNX, tmp_path / "empty")
    assert (tmp_path / "empty" / "model.onnx").exists()
    assert (tmp_path / "full" / "mine").read_text() == "kept"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_version_that_is_not_there_is_refused(home: Home, tmp_path: Path) -> None:
    """Unknown, damaged, and with its files removed; each says so, and no folder is left."""
    with pytest.raises(NotFound, match="no version 9"):
        export(home, 9, Format.ONNX, tmp_path / "out")
    model = home.bundle(1) / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    with pytest.raises(BundleRefused, match="is not the file that was recorded"):
        export(home, 1, Format.ONNX, tmp_path / "out")
    for path in home.bundle(1).iterdir():
        if path.name not in KEPT:
            path.unlink()
    with pytest.raises(NotFound, match="files of version 1 were removed"):
        export(home, 1, Format.ONNX, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_forgotten_rows_do_not_leave_in_a_model(home: Home, tmp_path: Path) -> None:
    """A copy elsewhere could not be called back; who was trained without them may leave."""
    with closing(sqlite3.connect(home.journal)) as journal, journal:
        journal.execute("UPDATE drops SET state = 'forgotten', forgotten_in = batch + 1, forgotten_at = decided_at")
    with pytest.raises(NotExportable, match=r"rows that have been forgotten since \(1 drops: iris.*Export a version"):
        export(home, 1, Format.ONNX, tmp_path / "out")


def test_pipeline_needs_the_estimator_that_mlflow_keeps(home: Home, tmp_path: Path) -> None:
    """Without MLflow's files there is still the graph."""
    shutil.rmtree(home.artifacts)
    with pytest.raises(NotExportable, match=r"MLflow's files of it are not here. Use --format onnx"):
        export(home, 1, Format.PICKLE, tmp_path / "out")
    export(home, 1, Format.ONNX, tmp_path / "out")


def test_command_says_where_to_start(home: Home, tmp_path: Path) -> None:
    """In words and as JSON; a refusal has its exit code and a sentence, and `--help` imports none of the libraries."""
    command = [
        sys.executable,
        "-m",
        "retraind.daemon",
        "export",
        "1",
        "--home",
        str(home.root),
        "-o",
        str(tmp_path / "out"),
    ]
    # As nice as the trainer, it would wait for all other tests.
    environment = {**os.environ, "RETRAIND_TRAIN__NICE": "0"}
    run = partial(subprocess.run, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    done = run(command)
    assert done.stdout.startswith(f"Version 1 is in {tmp_path / 'out'} (onnx): "), done.stderr
    again = run([*command, "--json"])
    assert (again.returncode, again.stderr.count("\n")) == (Exit.USAGE, 1)
    assert "exists and is not empty" in again.stderr
    shutil.rmtree(tmp_path / "out")
    facts = json.loads(run([*command, "--json"]).stdout)
    assert (facts["version"], facts["format"], "model.onnx" in facts["files"]) == (1, "onnx", True)
