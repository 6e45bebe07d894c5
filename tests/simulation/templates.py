"""The homes that worlds begin with: some segments, a served version, nothing to do."""

import pickle
import shutil
import sys
from pathlib import Path

import wiring
from players import craft, register
from world import Content

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import RunState
from retraind.daemon.promotion.promotion import Promotion
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage.model_versions import ModelVersions

STARTS = (13, 15)
"""Segments that a home may begin with: as soon as it has FAN of them, they are merged."""


def prepare(root: Path) -> None:
    """Make `home-N` with N segments and `contents-N`, what the world knows of them; and a list of the modules that it took."""
    home = Home(root / "making")
    contents: dict[str, Content] = {}
    wiring.bare(home)
    registry = Registry(home)
    registry.open()
    for number in range(max(STARTS)):
        with wiring.opened(home) as parts:
            data = wiring.rows_text(range(number, number + 1))
            contents[durable.sha256(data)] = Content((number / 8,), (), data)
            wiring.put(home, f"first-{number}.csv", data)
            assert parts.run()
            if number == 0:
                _serve(parts, registry)
        if number + 1 in STARTS:
            shutil.copytree(home.root, root / f"home-{number + 1}", symlinks=True)
            (root / f"contents-{number + 1}").write_bytes(pickle.dumps(contents))
    (root / "modules").write_text("\n".join(sys.modules))


def _serve(parts: wiring.Parts, registry: Registry) -> None:
    """A first version, as a training leaves it, judged and served."""
    newest, reason = parts.journal.batches.committed(), "first model"
    assert newest.revision is not None
    assert newest.dvc_md5 is not None
    run = parts.journal.runs.start(reason, newest.revision, newest.dvc_md5, newest.rows, newest.batch)
    job = {"reason": reason, "champion": None, "revision": newest.revision, "dvc_md5": newest.dvc_md5}
    mlflow = registry.start_run("training", {})
    version = register(registry, mlflow, craft(parts.home, mlflow, job, 90))
    registry.end_run(mlflow)
    parts.journal.runs.end(run, RunState.TRAINED, "for the simulation", version=version, seconds=1.0)
    promotion = Promotion(parts.home, Promote(), parts.journal, ModelVersions(parts.home))
    while promotion.adopt() or promotion.judge():
        pass
