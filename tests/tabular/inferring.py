"""Inferring a schema from the text of a file."""

from pathlib import Path
from typing import Any

from retraind.daemon.core.settings import Inbox
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.tabular import csv_table, infer_schema, rows
from retraind.daemon.tabular.file_content import Content
from retraind.daemon.tabular.schema_draft import Draft


def draft_of(folder: Path, text: str | bytes, target: str = "y", task: Task | None = None) -> Draft:
    path = folder / "own.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return infer_schema.of(path, target, task)


def schema_of(folder: Path, text: str | bytes, target: str = "y", task: Task | None = None) -> Schema:
    return draft_of(folder, text, target, task).schema


def check(text: bytes, schema: Schema, **policy: Any) -> rows.Checked:
    content = Content.of(text)
    header = csv_table.examine(content, [*schema.features, schema.target])
    return rows.check(next(csv_table.chunks(content, header)).table, schema, Inbox(**policy))
