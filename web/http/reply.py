"""Replies: answers of endpoints, independent of the web framework."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

JSON = "application/json"

FOR_EVER = "public, max-age=31536000, immutable"
"""Cache-Control of files whose address changes with their content."""


@dataclass(slots=True)
class Reply:
    """Status, body and headers of an answer."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": JSON})


def json_object(content: Mapping[str, object], status: int = 200) -> Reply:
    """A JSON object."""
    return Reply(orjson.dumps(content), status)


def of(content: Mapping[str, object], version: int, status: int = 200) -> Reply:
    """A JSON object that `version` answered; a header names the version."""
    return Reply(orjson.dumps(content), status, {"Content-Type": JSON, "X-Model-Version": str(version)})
