"""What workers need to prepare the rows of a training themselves: small, and sent with every task as bytes.

As bytes, because the scheduler unpickles what it passes on, and needs none of it.
"""

import hashlib
import pickle
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retraind.daemon.core.settings import Storage, Train
from retraind.daemon.core.settings.scheduler import SCHEDULED
from retraind.daemon.processes.training_job import Job
from retraind.daemon.training.data.source import Source


class Unfit(Exception):
    """Raised on a worker that can't run any task of a training, with the reason."""


@dataclass(frozen=True)
class Recipe:
    """A training's rows by their source, in a folder that workers share or in the object store, and its settings."""

    source: Source
    settings: Train
    """Without candidates whose package is missing in the trainer."""
    md5s: Mapping[str, str]
    """md5 of each segment by name, which is its name in the store."""
    store: Storage | None
    """The settings of the object store; None without one. Workers have keys of their own to it."""
    home: str
    """A name for the home, different for each."""

    def dumps(self) -> bytes:
        """The recipe for workers."""
        return pickle.dumps(self)


def of(settings: Train, source: Source, job: Job, home: Path) -> Recipe:
    """The recipe of a training in a home's folder, without the addresses and files of this machine's settings."""
    bare = settings.model_copy(update={name: Train.model_fields[name].default for name in SCHEDULED})
    folder = Path(settings.shared_data) if settings.shared_data else source.folder
    # What the served version was trained on changes no training row.
    sent = replace(source, folder=folder, settings=bare, before=None)
    store = Storage.model_validate(job.storage) if job.storage else None
    return Recipe(sent, bare, job.md5s, store, _name(home))


def _name(home: Path) -> str:
    """A name for a home, different for each on each machine."""
    return hashlib.sha256(f"{socket.gethostname()}:{home}".encode()).hexdigest()[:12]


def loads(content: bytes) -> Recipe:
    """The recipe from a trainer."""
    recipe: Any = pickle.loads(content)  # noqa: S301 - from the trainer, which may run anything here
    assert isinstance(recipe, Recipe)
    return recipe
