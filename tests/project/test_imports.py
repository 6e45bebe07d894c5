"""Our processes never import from the folder in which they were started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from service import Service, wait_until

from retraind.daemon.processes.child import environment

CONSOLE = (str(Path(sys.executable).with_name("retraind")),)
ROOT = Path(__file__).parents[2]
MODULE = (sys.executable, "-m", "retraind.daemon")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command", [pytest.param(CONSOLE, id="console"), pytest.param(MODULE, id="module", marks=pytest.mark.slow)]
)
def test_nothing_is_imported_from_the_current_folder(
    command: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory, migrated: Path
) -> None:
    """Whoever may write to it runs nothing as the daemon's user, and packages of the same names there keep no process from starting."""
    folder = tmp_path_factory.mktemp("folder")
    for name in ("orjson", "select", "random", "sklearn", "pydantic"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write(__name__)\nraise SystemExit(9)\n")
    for name in ("daemon", "web", *(["retraind"] if command == CONSOLE else [])):  # -m would run that one itself
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    service = Service(folder / "home", RETRAIND_BOOTSTRAP="none")
    service.command, service.folder = command, folder
    service.home.registry.mkdir(parents=True)
    shutil.copy(migrated, service.home.mlflow)
    try:
        service.start()
        wait_until(lambda: service.ask("/livez")[0] == 200, what=service.log()[-1500:])
        service.drop("empty.csv", [])  # the trainer starts when a drop comes
        wait_until(
            lambda: service.ask("/health")[1]["checks"].get("trainer", {}).get("detail") == "Ready.",
            what=service.log()[-1500:],
        )
        assert not (folder / "ran").exists()
    finally:
        service.end()


@pytest.mark.parametrize("name", ["daemon", "web"])
def test_folders_of_a_checkout_are_no_packages_of_their_own(name: str) -> None:
    """Every module has one name. With two, an error of one would not be caught as that of the other."""
    done = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"ImportError: Import retraind.{name}" in done.stderr


def test_tests_import_nothing_of_ours_by_another_name() -> None:
    """Neither by the folders nor by the links to them."""
    ours = [
        (name, str(module.__file__)) for name, module in list(sys.modules.items()) if getattr(module, "__file__", "")
    ]
    product = [name for name, path in ours if Path(path).resolve().is_relative_to(ROOT / "daemon")]
    assert product
    assert [name for name in product if not name.startswith("retraind.daemon")] == []


def test_relative_paths_of_python_mean_the_same_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our processes run in another folder; an empty entry, which would be that folder, is none."""
    monkeypatch.setenv("PYTHONPATH", f"mine{os.pathsep}{os.pathsep}/theirs")
    assert environment()["PYTHONPATH"] == os.pathsep.join([str(Path("mine").absolute()), "/theirs"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert "PYTHONPATH" not in environment()
