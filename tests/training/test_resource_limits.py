"""retraind.daemon.training.resource_limits: what a process may take once it is confined."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from retraind.daemon.core import niceness
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


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.skipif(not niceness.AUTOGROUP.exists(), reason="the kernel has no autogroups")
def test_session_of_several_processes_is_as_nice_as_they_are(own: bool) -> None:
    """Otherwise the kernel would give them as much of the cores as all workers that predict; another session is left alone.

    A process that never left the session of the machine's start is in no group: its file is empty.
    """
    code = """
import json, os
from retraind.daemon.core import niceness
from retraind.daemon.training import resource_limits
before = niceness.AUTOGROUP.read_text()
os.nice(7)
resource_limits.yield_cores(several=True)
print(json.dumps([before, niceness.AUTOGROUP.read_text(), os.getpriority(os.PRIO_PROCESS, 0)]))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, start_new_session=own)
    before, after, niceness = json.loads(done.stdout)
    if own and not before:
        pytest.skip("the kernel gives a new session no group")
    assert after == (before.rpartition(" ")[0] + f" {niceness}\n" if own else before)
