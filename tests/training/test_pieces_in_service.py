"""A whole service whose memory has no room for its rows: it trains from pieces by itself, and everything else is as always."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from running import retraind
from service import Service, wait_until

from retraind.daemon.artifacts import bundle, reference_sample
from retraind.daemon.core.errors import Exit
from retraind.daemon.records import versions
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema

pytest.importorskip("lightgbm", reason="the extra `boost` is not installed")

ROWS, WIDTH = 800_000, 20
SCHEMA = Schema(
    target="y",
    classes=["low", "high"],
    columns=[Column(name=f"x{number:02}", kind="number") for number in range(WIDTH)],
)
SETTINGS = {
    "RETRAIND_BOOTSTRAP": "none",
    "RETRAIND_TRAIN__CANDIDATES": '["logistic", "lightgbm"]',
    "RETRAIND_TRAIN__GRIDS": '{"lightgbm": {"n_estimators": [10]}}',
    "RETRAIND_TRAIN__MEMORY_BYTES": "380000000",
}
"""The rows need 400 MB in memory, and less from pieces."""


def write(path: Path, count: int, seed: int) -> None:
    """A drop of so many rows; its name ends in .csv only when it is complete."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, WIDTH)).round(2)
    high = values[:, 0] + values[:, 1] * values[:, 2] + random.normal(size=count) / 4 > 0
    columns = dict(zip(SCHEMA.features, values.T, strict=True)) | {"y": np.array(SCHEMA.classes)[high.astype(int)]}
    part = path.with_name(f".{path.name}")
    pa.csv.write_csv(pa.table(columns), part)
    part.rename(path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_service_trains_from_pieces_by_itself(tmp_path: Path) -> None:
    """It says so before it reads, judges and serves the version by treelite, keeps its reference, and reproduces it."""
    service = Service(tmp_path / "home", **SETTINGS)
    service.home.root.mkdir()
    service.home.make()
    service.home.schema.write_bytes(SCHEMA.dump())
    write(service.home.inbox / "rows.csv", ROWS, 0)
    service.start()
    try:
        wait_until(lambda: service.ask("/versions")[1]["champion"], 400, f"a version: {service.log()[-1500:]}")
        events = json.loads(retraind("events", "--json", home=service.home).stdout)
        assert "lightgbm reads them piece by piece" in json.dumps(events)
        judged = versions.judged(service.home.journal, 1)
        assert judged is not None
        manifest = bundle.read_manifest(service.home.bundle(1), judged["bundle"])
        assert (manifest.rows, manifest.scores.get("from_pieces")) == (ROWS, True)
        assert manifest.scores["left_out"] == {"logistic": "It needs all rows in memory."}
        assert manifest.backend == "treelite"
        assert manifest.difference <= bundle.PARITY
        reference = reference_sample.read(service.home.bundle(1), manifest)
        assert reference is not None
        assert len(reference.rows) == reference_sample.MOST_ROWS
        high = dict.fromkeys(SCHEMA.features, 0.0) | {"x00": 3.0}
        status, answer = service.ask("/predict", {"features": high})
        assert (status, answer["prediction_name"]) == (200, "high")
        reproduced = retraind("reproduce", 1, "--json", home=service.home, timeout=300)
        assert reproduced.returncode == Exit.OK, reproduced.stderr
        assert json.loads(reproduced.stdout)["equal"] == "bit for bit"
    finally:
        service.end()
