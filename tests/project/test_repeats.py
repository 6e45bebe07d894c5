"""Which cases of a test are measured."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

BODY = """
import sys, time, pytest

@pytest.mark.parametrize("case", range(3))
def test_long(case):
    assert (sys.gettrace() is None) == (case > 0)
    time.sleep(0.3)

@pytest.mark.parametrize("case", range(3))
def test_short(case):
    assert sys.gettrace() is not None

@pytest.mark.parametrize("engine", range(2))
def test_on_each_engine(engine):
    assert sys.gettrace() is not None
    time.sleep(0.3)
"""


def test_long_cases_are_measured_once_and_all_in_full(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\nsys.settrace(lambda *event: None)\n")
    (tmp_path / "test_cases.py").write_text(BODY)
    command = [sys.executable, "-m", "pytest", "-p", "repeats", "-p", "no:cacheprovider", "-q"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MEASURE": ""}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert "8 passed" in done.stdout, done.stdout
    full = environment | {"MEASURE": "processes"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=full)
    assert "2 failed, 6 passed" in done.stdout, done.stdout
