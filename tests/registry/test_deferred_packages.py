"""retraind.daemon.registry.deferred_packages: a package that is not used costs nothing, and whoever asks notices no difference."""

import importlib
import inspect
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from retraind.daemon.registry import deferred_packages


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
    for name in ("late_package", "late_package.inner", "late_other", "late_ran"):
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


def test_thread_that_asks_while_the_package_runs_gets_its_answer(tmp_path: Path, package: str) -> None:
    """And not an AttributeError for what the package is only about to define."""
    gate = ModuleType("late_ran")
    vars(gate).update(begun=threading.Event(), go=threading.Event())
    sys.modules["late_ran"] = gate
    code = "import late_ran\nlate_ran.begun.set()\nassert late_ran.go.wait(10)\nrun = True\nnumber = 42\n"
    (tmp_path / package / "__init__.py").write_text(code)
    late = importlib.import_module(package)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: late.run)
        assert gate.begun.wait(10)
        second = pool.submit(lambda: late.number)
        with suppress(TimeoutError):
            second.result(0.2)
        gate.go.set()
        assert (first.result(10), second.result(10)) == (True, 42)


def test_threads_that_wait_for_each_others_packages_both_go_on(tmp_path: Path, package: str) -> None:
    """One runs the package, which imports `late_other`; the other imports `late_other`, which asks the package."""
    gate = ModuleType("late_ran")
    vars(gate).update(run=threading.Event(), other=threading.Event())
    sys.modules["late_ran"] = gate
    code = "import late_ran\nearly = 1\nlate_ran.run.set()\nassert late_ran.other.wait(10)\nimport late_other\nrun = True\n"
    (tmp_path / package / "__init__.py").write_text(code)
    code = f"import late_ran, {package}\nlate_ran.other.set()\nassert late_ran.run.wait(10)\nseen = hasattr({package}, 'run')\n"
    (tmp_path / "late_other.py").write_text(code)
    late = importlib.import_module(package)
    threads = [
        threading.Thread(target=ask, daemon=True)  # or a deadlock would keep the process
        for ask in (lambda: late.run, lambda: importlib.import_module("late_other"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert (late.early, late.run) == (1, True)
    assert "late_other" in sys.modules


def test_package_that_fails_says_so_to_each_who_asks(tmp_path: Path, package: str) -> None:
    """It is no package without names from then on."""
    (tmp_path / package / "__init__.py").write_text("raise ImportError('no such library')\n")
    late = importlib.import_module(package)
    for _ in range(2):
        with pytest.raises(ImportError, match="no such library"):
            getattr(late, "run")  # noqa: B009 - the question itself is the test


def test_mlflow_is_imported_without_what_no_training_needs() -> None:
    """And what a training doesn't need can still be had by whoever imports MLflow beside it."""
    code = """
import sys
from retraind.daemon.registry import registry
print(*sorted(name for name in registry.DEFERRED if any(part.startswith(f"{name}.optimize") for part in sys.modules)))
import mlflow
print(mlflow.genai.optimize_prompts.__name__, mlflow.projects.run.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "optimize_prompts run"]
