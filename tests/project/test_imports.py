"""Our processes never import from the folder in which they were started."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from service import Service, wait_until

from retraind.daemon.processes.child import environment

CONSOLE = (str(Path(sys.executable).with_name("retraind")),)
MODULE = (sys.executable, "-m", "retraind.daemon")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command", [pytest.param(CONSOLE, id="console"), pytest.param(MODULE, id="module", marks=pytest.mark.slow)]
)
def test_nothing_is_imported_from_the_current_folder(
    command: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory, migrated: Path
) -> None:
    """Whoever may write to it runs nothing as the daemon's user, and a folder `web/` there keeps no worker from starting."""
    folder = tmp_path_factory.mktemp("folder")
    for name in ("orjson", "select", "random", "sklearn", "pydantic"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write(__name__)\nraise SystemExit(9)\n")
    (folder / "web").mkdir()
    (folder / "web/__init__.py").touch()
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


def test_relative_paths_of_python_mean_the_same_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our processes run in another folder; an empty entry, which would be that folder, is none."""
    monkeypatch.setenv("PYTHONPATH", f"mine{os.pathsep}{os.pathsep}/theirs")
    assert environment()["PYTHONPATH"] == os.pathsep.join([str(Path("mine").absolute()), "/theirs"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert "PYTHONPATH" not in environment()
