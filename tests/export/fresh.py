"""Environments with nothing but the packages that an exported folder lists."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))

ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import example
print(json.dumps(example.predict(json.load(sys.stdin))))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


class Fresh:
    """An environment below a folder, made from a file of requirements; skips the test without uv."""

    def __init__(self, folder: Path, requirements: Path) -> None:
        if UV is None:
            pytest.skip("no uv")
        self.python = folder / "bin" / "python"
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        install = [UV, "pip", "install", "--quiet", "--python", str(self.python), "-r", str(requirements)]
        subprocess.run(install, check=True)

    def predict(self, exported: Path, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers of the example in an exported folder, in a process that has not retraind's modules."""
        command = [str(self.python), "-I", "-c", ASK, str(exported)]
        elsewhere = self.python.parent
        done = subprocess.run(command, input=json.dumps(list(rows)), capture_output=True, text=True, cwd=elsewhere)
        assert done.returncode == 0, done.stderr[-3000:]
        answers, modules = done.stdout.strip().splitlines()
        assert not {"daemon", "web", "retraind"} & set(modules.split())
        return list(json.loads(answers))

    def run(self, exported: Path) -> str:
        """The output of `python example.py`."""
        command = [str(self.python), "-I", str(exported / "example.py")]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=self.python.parent).stdout


class Environments:
    """Environments below a folder: those with the same packages are one, which is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[frozenset[str], Fresh] = {}

    def of(self, requirements: Path) -> Fresh:
        """An environment with these packages and nothing else."""
        packages = frozenset(requirements.read_text().split("\n"))
        if packages not in self._made:
            self._made[packages] = Fresh(self._folder / str(len(self._made)), requirements)
        return self._made[packages]
