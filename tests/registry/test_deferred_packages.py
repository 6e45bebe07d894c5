"""daemon.registry.deferred_packages: a package that is not used costs nothing, and whoever asks notices no difference."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.registry import deferred_packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package that says on import that it runs; `inner` is a module in it."""
    folder = tmp_path / "late_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("import late_ran\nfrom late_package.inner import number\nrun = True\n")
    (folder / "inner.py").write_text("number = 42\n")
    (tmp_path / "late_ran.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for name in ("late_package", "late_package.inner", "late_ran"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    deferred_packages.defer([folder.name])
    return folder.name


def test_package_runs_when_it_is_asked_and_once(package: str) -> None:
    """Neither its import nor that of a module in it runs it; the first question for a name does."""
    late = importlib.import_module(package)
    assert importlib.import_module(f"{package}.inner").number == 42
    assert "late_ran" not in sys.modules
    assert late.run
    assert "late_ran" in sys.modules
    assert late.number == 42
    assert not hasattr(late, "nothing")
    assert "number = 42" in inspect.getsource(importlib.import_module(f"{package}.inner"))


def test_name_that_is_imported_from_a_package_is_its_own(package: str) -> None:
    """`from package import name`, for a name of the package and for one of its modules."""
    names: dict[str, object] = {}
    exec(f"from {package} import run, inner, number", names)
    assert (names["run"], names["number"], inspect.ismodule(names["inner"])) == (True, 42, True)


def test_mlflow_is_imported_without_what_no_training_needs() -> None:
    """And what a training doesn't need can still be had by whoever imports MLflow beside it."""
    code = """
import sys
from daemon.registry import registry
print(*sorted(name for name in registry.DEFERRED if any(part.startswith(f"{name}.optimize") for part in sys.modules)))
import mlflow
print(mlflow.genai.optimize_prompts.__name__, mlflow.projects.run.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "optimize_prompts run"]
