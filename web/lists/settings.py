"""The settings as they are in force: value, origin, and what a restart would change. Nothing here is a secret.

Settings hold no passwords by design. What could still hold a token, the path of a webhook's address and the arguments
of a command, is not shown.
"""

import json
from typing import Any, TypedDict
from urllib.parse import urlsplit

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings, in_force
from retraind.daemon.core.settings.in_force import Described
from retraind.daemon.core.settings.settings import variable
from retraind.daemon.core.settings.sources import Origin
from retraind.web.lists.parameters import Parameter, Query, read

CHANGED = "changed"

PARAMETERS = (
    Parameter("search", "Only settings with this in their name or meaning; case does not matter."),
    Parameter(
        "show",
        "`set`: only settings that are not the default. `changed`: only those that a restart would change.",
        choices=("set", CHANGED),
    ),
)


class Setting(TypedDict):
    """One setting."""

    key: str
    value: str
    """As in `retraind.toml`, shortened where it may hold a token."""
    default: str
    origin: str
    unit: str
    limits: str
    meaning: str
    variable: str
    """The environment variable that sets it."""
    after_restart: str | None
    """The value that a restart would bring, if it differs."""


class SettingsInForce(TypedDict):
    """The settings that fit the query."""

    settings: list[Setting]
    count: int
    total: int
    changed: int
    """Number of settings, of all, that a restart would change."""
    problem: str
    """Why the service would not start again; empty if it would."""
    file: str


def find(home: Home, running: Settings, query: Query) -> SettingsInForce:
    """The settings that a query asks for; raises Problem 400."""
    values = read(query, PARAMETERS)
    now, running_values = in_force.now(home), in_force.flat(running)
    origins = in_force.origins(home, running_values)
    every = [_setting(item, running_values[item.key], origins.get(item.key), now.values) for item in in_force.fields()]
    word, show = values.text("search").lower(), values.text("show")
    fitting = [row for row in every if word in f"{row['key']} {row['meaning']}".lower()]
    if show == "set":
        fitting = [row for row in fitting if row["value"] != row["default"] or row["origin"] != Origin.DEFAULT]
    if show == CHANGED:
        fitting = [row for row in fitting if row["after_restart"] is not None]
    return {
        "settings": fitting,
        "count": len(fitting),
        "total": len(every),
        "changed": sum(row["after_restart"] is not None for row in every),
        "problem": now.problem,
        "file": str(home.settings),
    }


def _setting(item: Described, value: Any, origin: Origin | None, now: Any) -> Setting:
    default = _shown(item.key, item.default)
    shown = _shown(item.key, value)
    if origin is None:  # nothing was recorded: a value that is not the default was set, somewhere
        origin = Origin.DEFAULT if shown == default else None
    # A flag overrides whatever the file says, also after a restart with the same command.
    differs = now and origin is not Origin.FLAG and now[item.key] != value
    return {
        "key": item.key,
        "value": shown,
        "default": default,
        "origin": origin.value if origin else "not recorded",
        "unit": item.unit,
        "limits": item.limits,
        "meaning": item.meaning,
        "variable": variable(item.key),
        "after_restart": _shown(item.key, now[item.key]) if differs else None,
    }


def _shown(key: str, value: Any) -> str:
    """A value as text, without what may be a token."""
    if key == "notify.webhook" and value:
        parts = urlsplit(value)
        value = f"{parts.scheme}://{parts.netloc}/…" if parts.path.strip("/") else value
    if key == "notify.command" and value[1:]:
        value = [value[0], f"… ({len(value) - 1} arguments)"]
    return json.dumps(value, ensure_ascii=False)
