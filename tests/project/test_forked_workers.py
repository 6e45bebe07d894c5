"""`pytest --workers`: modules of tests in forks, and what becomes of it when a fork dies."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run(folder: Path, *options: str) -> tuple[int, str]:
    """Exit code and output of pytest in two forks."""
    command = [sys.executable, "-m", "pytest", "-p", "forked_workers", "-p", "no:cacheprovider", "--workers=2"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def test_all_modules_run_and_a_module_stays_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    for number in range(5):
        body = f"import os\ndef note():\n    open('ran', 'a').write(f'{number} {{os.getpid()}}\\n')\n"
        (tmp_path / f"test_{number}.py").write_text(f"{body}def test_a(tmp_path): note()\ndef test_b(): note()\n")
    code, output = run(tmp_path)
    assert (code, "10 passed" in output) == (0, True), output
    lines = [line.split() for line in (tmp_path / "ran").read_text().splitlines()]
    assert len(lines) == 10
    assert len(set(map(tuple, lines))) == 5
    assert 1 <= len({pid for _, pid in lines}) <= 2


def test_forks_share_the_folder_of_the_run(tmp_path: Path) -> None:
    """In it the run finds the servers that they have started, and ends them."""
    (tmp_path / "pytest.ini").touch()
    body = "import time\ndef test_a(tmp_path):\n    open('bases', 'a').write(f'{tmp_path.parents[1]}\\n')\n    time.sleep(0.3)\n"
    for number in range(4):
        (tmp_path / f"test_{number}.py").write_text(body)
    assert run(tmp_path)[0] == 0
    bases = (tmp_path / "bases").read_text().split()
    assert (len(bases), len(set(bases))) == (4, 1)


def test_failure_is_shown_with_its_output_and_a_warning_with_its_text(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_bad.py").write_text("def test_bad():\n    print('before')\n    assert 1 == 2\n")
    (tmp_path / "test_warn.py").write_text("import warnings\ndef test_warn():\n    warnings.warn('beware of this')\n")
    code, output = run(tmp_path)
    assert code == 1
    assert "1 failed, 1 passed, 1 warning" in output
    assert "assert 1 == 2" in output
    assert "before" in output
    assert "beware of this" in output


def test_a_fork_that_dies_fails_the_test_it_was_in(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_dies.py").write_text("import os\ndef test_dies():\n    os.kill(os.getpid(), 9)\n")
    for number in range(9):
        (tmp_path / f"test_lives_{number}.py").write_text("def test_lives(): pass\n")
    code, output = run(tmp_path)
    assert code == 1
    assert "the process that ran test_dies.py::test_dies ended with -9" in output
    assert re.search("1 failed, [89] passed", output), output  # it may have taken the next module along


def test_the_first_failure_ends_it_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    for number in range(20):
        (tmp_path / f"test_{number}.py").write_text("import time\ndef test_bad():\n    time.sleep(0.1)\n    assert 0\n")
    code, output = run(tmp_path, "--exitfirst")
    assert code == 1
    assert "stopping after" in output
    assert 1 <= output.count("\nFAILED ") < 20
