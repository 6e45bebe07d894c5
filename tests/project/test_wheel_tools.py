"""uvx and pipx: they run the wheel with all that it requires. They fetch packages, so an index must be reachable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_wheel import ROOT, wheel

from retraind import release

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
BIN = Path(sys.executable).parent
NO_INDEX = ("dns error", "error sending request", "Failed to fetch", "because the network")
"""Words of uv where no index answers."""

__all__ = ["wheel"]


def run(folder: Path, *command: str | Path) -> str:
    """Standard output of a program; skips the test if there is no index."""
    variables = {name: str(folder / name) for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    variables["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | variables)
    if done.returncode and any(words in done.stderr for words in NO_INDEX):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_uvx_runs_the_tested_versions(wheel: Path, tmp_path: Path) -> None:
    """The command of docs/operations.md, with the lock as constraints."""
    words: list[str | Path] = ["--constraints", ROOT / "requirements.lock", "--from", wheel, "retraind", "--version"]
    assert run(tmp_path, BIN / "uvx", *words) == f"{release.sentence()}\n"


def test_pipx_installs_the_newest_that_may_be(wheel: Path, tmp_path: Path) -> None:
    """Without the lock: the bounds of pyproject.toml alone must lead to versions that work together."""
    run(tmp_path, BIN / "uvx", "pipx", "install", "--backend", "uv", wheel)
    program = tmp_path / "PIPX_BIN_DIR/retraind"
    assert run(tmp_path, program, "--version") == f"{release.sentence()}\n"
    examples = ROOT / "examples/customers.csv"
    run(tmp_path, program, "init", examples, "--target", "churned", "--home", tmp_path / "churn")
