"""A labelled row from HTTP as a drop: a small JSON file in the inbox. `web` writes it, `rows` reads it.

The file has an id, so that the same sample posted twice is two drops, but with the same Idempotency-Key it is one.
"""

import secrets
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema

SUFFIX = ".sample.json"


class Sample(BaseModel):
    """The content of a sample drop; `features` by column name, `target` by class name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["retraind-sample/1"] = "retraind-sample/1"
    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    features: dict[str, Any]
    target: str

    @property
    def name(self) -> str:
        """The drop's file name."""
        return f"http-{self.id}{SUFFIX}"

    def dump(self) -> bytes:
        """The drop's bytes; their sha256 is its identity."""
        return self.model_dump_json().encode() + b"\n"


def make(schema: Schema, features: Any, target: Any, key: str | None = None) -> Sample:
    """A checked sample; raises InvalidFeatures. With an idempotency `key` the id follows from it."""
    encode(schema, features)
    named = features if isinstance(features, dict) else dict(zip(schema.features, features, strict=True))
    identity = durable.sha256(key.encode())[:32] if key else secrets.token_hex(16)
    return Sample(id=identity, features=named, target=schema.label(target))


def drop(home: Home, sample: Sample) -> bool:
    """Put the sample into the inbox durably; False if a drop of that name is already there."""
    return durable.write_new(home.inbox / sample.name, sample.dump())
