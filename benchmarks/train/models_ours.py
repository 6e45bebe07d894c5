"""One training of retraind on a public set, as the daemon's trainer does it, and what its bundle answers to rows it never saw.

`python -m benchmarks.train.models_ours FOLDER [name=value …]` prints one line of JSON, as `benchmarks/peers/models.py` does; the
values are settings of `[train]`. Schema, rows, holdout, comparison, calibration, export and MLflow are the real ones.
"""

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox
from retraind.daemon.dataset import segment_writer
from retraind.daemon.processes.training_job import Job
from retraind.daemon.registry.registry import Registry
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.tabular import csv_table, infer_schema, rows
from retraind.daemon.tabular.file_content import Content
from retraind.daemon.training.run import train

LEARNING = "train.csv"
ASKED = "test.csv"


def trained(folder: Path, settings: dict[str, Any], root: Path) -> tuple[bundle.Model, float]:
    """The served model that a drop of train.csv makes in a home at `root`, and the seconds of the training."""
    facts = json.loads((folder / "set.json").read_text())
    schema = infer_schema.of(folder / LEARNING, facts["target"], facts["task"]).schema
    home = Home(root)
    home.make()
    home.segments.mkdir(parents=True)
    table, schema = _rows(folder / LEARNING, schema)
    drop = durable.sha256_file(folder / LEARNING)
    whole = rows.with_provenance(table, [drop], [len(table)], np.arange(len(table)), datetime.now(UTC), "file")
    made = segment_writer.write(home.segments, [whole]).place()
    home.schema.write_bytes(schema.dump())
    registry = Registry(home)
    registry.open()
    job = Job(1, "benchmark", "0" * 40, "0" * 32, {made.name: made.sha256}, len(table), settings, None, None)
    said: list[Any] = []
    train(home, job, said.append)
    version = ModelVersions(home).versions()[-1]
    assert version.bundle is not None
    seconds = next(float(one["seconds"]) for one in said if "done" in one)
    return bundle.load(home.staging(version.run), version.bundle), seconds


def _rows(path: Path, schema: Schema) -> tuple[pa.Table, Schema]:
    """The rows of a file as a drop's, and the schema with the categories that they bring."""
    file = Content.of(path.read_bytes())
    header = csv_table.examine(file, [column.name for column in schema.columns])
    texts = pa.concat_tables([chunk.table for chunk in csv_table.chunks(file, header)])
    listed = [column.name for column in schema.columns] + [schema.target]
    checked = rows.check(texts.select(listed), schema, Inbox())
    if checked.bad:
        raise ValueError(f"{path}: {len(checked.bad)} bad rows, the first: {checked.bad[0].reason}")
    return checked.table, checked.schema


def asked(folder: Path, model: bundle.Model) -> dict[str, Any]:
    """What the bundle answers to the rows of test.csv; a category that it never saw is unknown to it."""
    schema = model.manifest.data_schema
    expected = model.answers(rows.matrix(_rows(folder / ASKED, schema)[0], schema))
    facts = {"candidate": model.manifest.candidate, "backend": model.manifest.backend}
    if schema.task == "regression":
        return {**facts, "values": expected[:, 0].tolist()}
    return {**facts, "classes": list(schema.classes), "probabilities": expected.tolist()}


def main() -> None:
    """Train, answer, print."""
    folder, options = Path(sys.argv[1]), dict(text.split("=", 1) for text in sys.argv[2:])
    settings = {"report_rows": 0} | {name: json.loads(value) for name, value in options.items()}
    with tempfile.TemporaryDirectory(prefix="retraind-models-") as root:
        started = time.perf_counter()
        model, seconds = trained(folder, settings, Path(root) / "home")
        answered = asked(folder, model) | {"seconds": seconds, "whole_seconds": time.perf_counter() - started}
        answered |= {"compared": model.manifest.scores["candidates"]}
    print(json.dumps(answered))


if __name__ == "__main__":
    main()
