"""An ingestion, its bad rows, and ways to end it at a step; a test module makes a fixture of `parts`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ingesting import Killed, Parts

from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import segment_writer
from retraind.daemon.inbox.rejected_folder import Rejected
from retraind.daemon.schema.schema import Schema


def parts(home: Home, schema: Schema) -> Iterator[Parts]:
    assert schema
    parts = Parts(home)
    yield parts
    parts.close()


def bad_rows(parts: Parts, name: str) -> Path:
    """The only file of rejected rows of drops with this name."""
    [file] = parts.home.rejected.glob(f"{name}.????????.bad.csv")
    return file


def run_ended_at(parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the process ends right after (`+`) or right before (`-`) one call, and then with the next process."""
    with monkeypatch.context() as patch:
        _cut(parts, step, patch)
        with pytest.raises(Killed):
            parts.run()
    parts.reopen()
    parts.run()


def _cut(parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name = step[0], step[1:]
    owners: dict[str, object] = {"write": segment_writer, "dataset_commit": parts.dataset, "purge": parts.dataset}
    owners |= {"quarantine": parts.inbox, "clear": parts.inbox, "reject": parts.inbox, "refuse": parts.journal.drops}
    owners |= {"remove": Rejected, "forget": parts.journal.erasures}
    owners |= {"consume": requests, "end_request": parts.journal.requests}
    owner = owners.get(name, parts.journal.batches)
    name = name.removeprefix("dataset_").removesuffix("_request")
    real: Callable[..., object] = getattr(owner, name)

    def call(*arguments: object, **named: object) -> object:
        if where == "+":
            real(*arguments, **named)
        raise Killed

    monkeypatch.setattr(owner, name, call)
