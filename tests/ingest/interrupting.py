"""An ingestion, its bad rows, and ways to end it at a step; a test module makes a fixture of `parts`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ingesting import Killed, Parts

from daemon.core.home import Home
from daemon.dataset import segment_writer
from daemon.schema.schema import Schema


def parts(home: Home, schema: Schema) -> Iterator[Parts]:
    assert schema
    parts = Parts(home)
    yield parts
    parts.close()


def bad_rows(parts: Parts, name: str) -> Path:
    """The only file of rejected rows of drops with this name."""
    [file] = parts.home.rejected.glob(f"{name}.????????.bad.csv")
    return file


def cut(parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end right after (`+`) or right before (`-`) one call, once."""
    where, name = step[0], step[1:]
    owners = {"write": segment_writer, "dataset_commit": parts.dataset, "quarantine": parts.inbox, "clear": parts.inbox}
    owners |= {"reject": parts.inbox, "refuse": parts.journal.drops}
    owner = owners.get(name, parts.journal.batches)
    name = name.removeprefix("dataset_")
    real: Callable[..., object] = getattr(owner, name)

    def call(*arguments: object, **named: object) -> object:
        if where == "+":
            real(*arguments, **named)
        raise Killed

    monkeypatch.setattr(owner, name, call)
