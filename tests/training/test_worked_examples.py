"""The worked examples of docs/training.md are run as they stand there: their modules, settings and packages."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workshop import LEAVES, Workshop, leaves

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def blocks(heading: str) -> list[tuple[str, str]]:
    """Language and text of the code blocks below a heading of docs/training.md."""
    page = (ROOT / "docs" / "training.md").read_text()
    part = page.partition(f"### {heading}\n")[2].partition("\n##")[0]
    return re.findall(r"```(\w+)\n(.*?)```", part, re.DOTALL)


def settings(text: str) -> dict[str, Any]:
    """The settings of `[train]` in a TOML file that is valid as a whole."""
    return Settings.model_validate(tomllib.loads(text)).train.model_dump(exclude_unset=True)


@pytest.fixture
def shop(mlflow_home: Home) -> Workshop:
    """Few ash among many elm, told apart by their length, not perfectly."""
    workshop = Workshop(mlflow_home, LEAVES)
    random = np.random.default_rng(0)
    cells = leaves("ash elm", 150)
    rare = [row for row in range(300) if row % 6 == 0 or row >= 150]
    cells["length"] = [f"{float(value) + random.normal(0, 0.5):.4f}" for value in cells["length"]]
    workshop.add({name: [values[row] for row in rare] for name, values in cells.items()})
    return workshop


def test_search_by_settings(shop: Workshop) -> None:
    """Each combination of the grid competes; the time is less here, or the test would take a minute."""
    [(_, text)] = [block for block in blocks("Search for better parameters") if "tune_seconds" in block[1]]
    chosen = settings(text) | {"tune_seconds": 1.0}
    manifest = shop.train(*chosen.pop("candidates"), **chosen)
    names = [one["name"] for one in manifest.scores["candidates"]]
    assert [name for name in names if "max_features=0.5" in name and "min_samples_leaf=5" in name]
    assert len([name for name in names if name.startswith("forest(")]) >= 4


def test_search_by_a_class_of_ones_own(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is saved and importable; its forest competes and can be served as a graph."""
    examples = blocks("Search for better parameters")
    [module] = [text for language, text in examples if language == "python"]
    [text] = [text for language, text in examples if language == "toml" and "my_models" in text]
    (tmp_path / "my_models.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    own, other = settings(text)["candidates"]
    manifest = shop.train(own, folds=2, calibrate=False)
    assert (manifest.candidate, manifest.backend, other) == ("my_models:SearchedForest", "onnx", "logistic")
    assert manifest.scores["challenger"]["rolling"]["accuracy"] > 0.8


@pytest.mark.slow
def test_estimator_of_another_package(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package comes from the index, as the file says; its forest trains, is served as a graph, and finds the rare class."""
    if UV is None:
        pytest.skip("no uv")
    examples = blocks("An estimator of another package")
    [packages] = [text for language, text in examples if language == "text"]
    [text] = [text for language, text in examples if language == "toml"]
    (tmp_path / "packages.txt").write_text(packages)
    install = [UV, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(tmp_path / "more")]
    # Without what it needs: that is installed here already, as it is beside retraind.
    subprocess.run([*install, "--no-deps", "-r", str(tmp_path / "packages.txt"), "sklearn-compat"], check=True)
    monkeypatch.syspath_prepend(tmp_path / "more")
    chosen = settings(text)
    manifest = shop.train(*chosen.pop("candidates"), **chosen)
    assert not manifest.scores["left_out"]
    alone = shop.train("imblearn.ensemble:BalancedRandomForestClassifier", folds=2, calibrate=False)
    assert alone.backend == "onnx"
    assert alone.scores["challenger"]["rolling"]["recall"]["ash"] > 0.4
