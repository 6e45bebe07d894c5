"""retraind.daemon.training.resource_limits: what a process may take once it is confined."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retraind.daemon.training import resource_limits

MIB = 1024 * 1024


def test_default_is_a_share_of_what_there_is() -> None:
    """Less than the machine has, and the configured limit if there is one."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < resource_limits.memory(0) < machine
    assert resource_limits.memory(12345) == 12345


def test_least_limit_around_the_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit's or container's limit, also one further out; `max` is none."""
    (tmp_path / "a.slice/b.service").mkdir(parents=True)
    (tmp_path / "own").write_text("0::/a.slice/b.service\n")
    monkeypatch.setattr(resource_limits, "CGROUPS", tmp_path)
    monkeypatch.setattr(resource_limits, "OWN_CGROUP", tmp_path / "own")
    (tmp_path / "a.slice/b.service/memory.max").write_text("max\n")
    (tmp_path / "a.slice/memory.max").write_text(f"{300 * MIB}\n")
    assert resource_limits.memory(0) == 200 * MIB
    (tmp_path / "a.slice/b.service/memory.max").write_text(f"{150 * MIB}\n")
    assert resource_limits.memory(0) == 100 * MIB


def test_confined_process_gets_a_memory_error_and_is_the_kernels_first_choice() -> None:
    """What it has counts for nothing, what it takes more than allowed is refused, and no core would be dumped."""
    code = f"""
import resource
import numpy
from retraind.daemon.training import resource_limits
before = numpy.ones(20 * {MIB})
resource_limits.limit_memory(100 * {MIB})
within = numpy.ones(10 * {MIB})
try:
    numpy.ones(20 * {MIB})
except MemoryError:
    print("refused", open("/proc/self/oom_score_adj").read().strip(), resource.getrlimit(resource.RLIMIT_CORE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "refused 1000 (0, 0)"


@pytest.mark.skipif(not resource_limits.AUTOGROUP.exists(), reason="the kernel has no autogroups")
def test_session_of_several_processes_is_as_nice_as_they_are() -> None:
    """Otherwise the kernel would give them as much of the cores as all workers that predict; another session is left alone."""
    code = """
import os
from retraind.daemon.training import resource_limits
before = resource_limits.AUTOGROUP.read_text()
os.nice(7)
resource_limits.yield_cores(several=True)
print(before.split()[-1], resource_limits.AUTOGROUP.read_text().split()[-1], os.getpriority(os.PRIO_PROCESS, 0))
"""
    for own in (True, False):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, start_new_session=own)
        before, after, process = map(int, done.stdout.split())
        assert after == (process if own else before)
