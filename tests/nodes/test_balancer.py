"""examples/haproxy.cfg is one that HAProxy takes; test_node_faults.py runs it."""

import subprocess
from pathlib import Path

import pytest

from benchmarks import haproxy


@pytest.mark.skipif(haproxy.PROGRAM is None, reason="HAProxy is not installed (Debian, Ubuntu: apt install haproxy)")
def test_example_is_one_that_haproxy_takes(tmp_path: Path) -> None:
    assert haproxy.PROGRAM is not None
    (tmp_path / "haproxy.cfg").write_text(haproxy.configuration(8000, ["127.0.0.1:5001", "10.0.0.2:5000"], 5000))
    done = subprocess.run(
        [haproxy.PROGRAM, "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr.upper(), done.stderr
