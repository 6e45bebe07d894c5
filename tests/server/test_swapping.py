"""Two hundred swaps in one worker's process leave its memory as it was."""

import os
import subprocess
import sys
from pathlib import Path

import bundles
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from test_bundle import sealed

from retraind.daemon.artifacts.bundle import Pointer
from retraind.daemon.core.home import Home
from retraind.daemon.training.export import export

ROOT = Path(__file__).parents[2]

SWAPS = """
import sys
from pathlib import Path
import numpy as np
from retraind.daemon.core import durable
from retraind.daemon.artifacts.bundle import Pointer
from retraind.daemon.core.home import Home
from retraind.web.serving.predictor import Follower, Slot

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

home, slot = Home(Path(sys.argv[1])), Slot()
follower, rows = Follower(home, slot), np.random.default_rng(1).normal(size=(1000, 4))
for number in range(200):
    version = 1 + number % 2
    pointer = Pointer(version=version, manifest=sys.argv[1 + version], since=str(number))
    durable.write(home.pointer, pointer.model_dump_json().encode())
    follower.look()
    assert (slot.version, slot.problem) == (version, None)
    slot.current.answers(rows)
    if number in (1, 199):
        print(resident())
"""


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path) -> None:
    """With forests of a hundred trees, resident memory after 200 swaps is within 10 % of that after two."""
    home = Home(tmp_path)
    home.make()
    random = np.random.default_rng(0)
    rows = random.normal(size=(2000, 4))
    codes = (rows[:, 0] * rows[:, 1] > 0).astype(np.int64) + (rows[:, 2] > 0.5)
    manifests = []
    for version in (1, 2):
        home.bundle(version).mkdir()
        fitted = RandomForestClassifier(100, random_state=version).fit(rows, codes)
        facts = export.write(fitted, rows, bundles.SCHEMA, home.bundle(version))
        manifests.append(sealed(home.bundle(version), data_schema=bundles.SCHEMA, **facts))
        bundles.record(home, Pointer(version=version, manifest=manifests[-1], since="2026-01-01T00:00:00.000Z"))
    command = [sys.executable, "-c", SWAPS, str(tmp_path), *manifests]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    first, last = map(int, done.stdout.split())
    assert last <= 1.1 * first
