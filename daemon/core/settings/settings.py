"""All sections together."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, Field

from retraind.daemon.core.settings.inbox import Inbox
from retraind.daemon.core.settings.leader import Leader
from retraind.daemon.core.settings.monitoring import Drift, Journal, Log, Mlflow, Predictions
from retraind.daemon.core.settings.node import Node
from retraind.daemon.core.settings.notify import Notify
from retraind.daemon.core.settings.promote import Promote
from retraind.daemon.core.settings.section import Section
from retraind.daemon.core.settings.server import Server
from retraind.daemon.core.settings.storage import Data, Storage
from retraind.daemon.core.settings.train import Retrain, Train

PREFIX = "RETRAIND_"


class Settings(Section):
    """All settings of one home, validated and frozen."""

    # First, because in TOML a key below a table belongs to that table.
    bootstrap: Literal["iris", "none"] = Field(
        "iris",
        description="What an empty home without a schema starts with. `iris`: the Iris data, so that /predict works at once.",
    )
    role: Literal["leader", "node"] = Field(
        "leader",
        description="`leader`: this home takes drops, trains and serves. `node`: it only serves the version of its leader; needs `journal.url` and `storage.url`.",
    )
    server: Server = Field(default_factory=Server)
    inbox: Inbox = Field(default_factory=Inbox)
    retrain: Retrain = Field(default_factory=Retrain)
    train: Train = Field(default_factory=Train)
    promote: Promote = Field(default_factory=Promote)
    drift: Drift = Field(default_factory=Drift)
    predictions: Predictions = Field(default_factory=Predictions)
    journal: Journal = Field(default_factory=Journal)
    mlflow: Mlflow = Field(default_factory=Mlflow)
    storage: Storage = Field(default_factory=Storage)
    data: Data = Field(default_factory=Data)
    leader: Leader = Field(default_factory=Leader)
    node: Node = Field(default_factory=Node)
    notify: Notify = Field(default_factory=Notify)
    log: Log = Field(default_factory=Log)


def variable(key: str) -> str:
    """The environment variable of a setting: `server.port` is RETRAIND_SERVER__PORT."""
    return PREFIX + key.upper().replace(".", "__")


@cache  # a command needs them five times before it begins
def entries() -> tuple[tuple[str, str, Any], ...]:
    """Every setting as (dotted key, description, default), in order."""
    return tuple(_entries(Settings, ""))


def _entries(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, Any]]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _entries(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field.description or "", field.get_default(call_default_factory=True)
