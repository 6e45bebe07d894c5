"""Marks for a start with another release of retraind, or with other settings than before."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from retraind import release
from retraind.daemon.core.settings import Settings
from retraind.daemon.storage.trends.store import Mark

DEPLOYED, SETTINGS = "deployed", "settings"
"""Kinds of these marks."""

MOST_NAMED = 5
"""Number of changed settings that a mark names."""


class Deployment(NamedTuple):
    """What runs: the release, and a digest of each setting (not the value, which may be a secret)."""

    release: str
    settings: dict[str, str]


def present(settings: Settings) -> Deployment:
    """What this process runs."""
    digests = {name: _digest(value) for name, value in _flat(settings.model_dump(mode="json"))}
    return Deployment(release.VERSION, digests)


def marks(before: Mapping[str, Any] | None, now: Deployment, at: str) -> list[Mark]:
    """The marks for what has changed since the start before; none at the first start."""
    if before is None:
        return []
    made = []
    if before["release"] != now.release:
        made.append(Mark(at, DEPLOYED, f"retraind {now.release} started; before it ran {before['release']}."))
    stored: dict[str, str] = before["settings"]
    changed = sorted(name for name in stored.keys() | now.settings.keys() if stored.get(name) != now.settings.get(name))
    if changed:
        more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
        made.append(Mark(at, SETTINGS, f"Started with other settings: {', '.join(changed[:MOST_NAMED])}{more}."))
    return made


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]
