"""The wheel: it holds the package `retraind` alone, and runs beside packages that are called daemon and web."""

import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from service import Service

from retraind import release

ROOT = Path(__file__).parents[2]
OLD_HOME = ROOT / "tests/home-of-2026-11.tar.xz"
OTHERS = {"daemon": "class DaemonContext: ...", "web": "class application: ..."}
"""Packages of other makers (python-daemon, web.py), and a line of each."""


def built(target: str, source: Path, folder: Path) -> Path:
    """What hatchling builds, without an environment of its own: nothing is fetched."""
    command: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout."""
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment with the wheel, the others, and what retraind requires.

    The latter are those of the tests: fetching them takes a minute, and the network.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "required.pth").write_text(sysconfig.get_paths()["purelib"])
    for name, text in OTHERS.items():
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text(text)
    uv = Path(sys.executable).with_name("uv")
    install: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--python",
        folder / "bin/python",
        wheel,
    ]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture
def service(programs: Path, tmp_path: Path) -> Iterator[Service]:
    """The service of the wheel on a home that an earlier release has left."""
    with tarfile.open(OLD_HOME) as archive:
        archive.extractall(tmp_path / "home", filter="data")
    service = Service(tmp_path / "home")
    service.command, service.folder = (str(programs / "retraind"),), tmp_path
    yield service
    service.end()


def test_wheel_holds_one_package_with_all_its_files(wheel: Path) -> None:
    """No tests, no links, and nothing beside `retraind`; templates, scripts and tables come along."""
    with zipfile.ZipFile(wheel) as files:
        names = {Path(name) for name in files.namelist()}
        commit = files.read("retraind/commit.txt").decode().strip() if release.COMMIT else None
    assert {name.parts[0] for name in names} == {"retraind", f"retraind-{release.VERSION}.dist-info"}
    kinds = (".py", ".html", ".css", ".js", ".svg", ".sql")
    ours = {path for room in ("daemon", "web") for path in (ROOT / room).rglob("*") if path.suffix in kinds}
    assert {"retraind" / path.relative_to(ROOT) for path in ours} <= names
    assert commit == release.COMMIT


def test_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Links become folders in it; the commit comes from the archive, since git is not there."""
    with tarfile.open(built("sdist", ROOT, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    again = built("wheel", tmp_path / f"retraind-{release.VERSION}", tmp_path)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {entry.filename: entry.CRC for entry in first.infolist()} == {
            entry.filename: entry.CRC for entry in second.infolist()
        }


def test_commands_start_from_the_wheel(programs: Path, tmp_path: Path) -> None:
    """It imports nothing from the checkout, and the others are what they were."""
    check = "import daemon, web, retraind; daemon.DaemonContext, web.application; print(retraind.__path__[0])"
    place = subprocess.run([programs / "python", "-c", check], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(place.stdout.strip()).is_relative_to(programs.parent)
    version = subprocess.run([programs / "retraind", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert version.stdout == f"{release.sentence()}\n"
    words: list[str | Path] = [
        "init",
        ROOT / "examples/customers.csv",
        "--target",
        "churned",
        "--home",
        tmp_path / "churn",
    ]
    done = subprocess.run([programs / "retraind", *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "churn/data/schema.json").exists()


def test_service_of_the_wheel_goes_on_with_an_earlier_home(service: Service) -> None:
    """Workers, loop and pages; the bundles are those of the release before."""
    answer = service.start().wait_served(2)
    assert (answer["model_version"], answer["prediction_name"]) == (2, "setosa")
    for path in ("/dashboard", "/docs", "/openapi.json", "/v2"):
        assert service.ask(path)[0] == 200, path
    metrics = service.ask("/metrics", Accept="text/plain")[1]
    assert re.search(
        rf'retraind_build_info{{commit="{release.COMMIT or ""}",.*version="{release.VERSION}"}} 1', str(metrics)
    )
