"""The settings in force and where each comes from, recorded when the service starts: `registry/settings.json`.

The service keeps its settings until it ends, so the file and the environment may differ from them later.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypedDict, get_args, get_origin

import orjson
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import loading, sources
from retraind.daemon.core.settings.settings import Settings
from retraind.daemon.core.settings.sources import Origin

UNIT = re.compile(r"\((seconds|minutes|hours|days|bytes)\)")
"""The unit in a setting's description."""


class Described(NamedTuple):
    """A setting as its section declares it."""

    key: str
    meaning: str
    default: Any
    unit: str
    limits: str


class Recorded(TypedDict):
    """A value that is not the default, and its origin."""

    value: Any
    origin: str


class Now(NamedTuple):
    """What file and environment say now."""

    values: Mapping[str, Any]
    """Every setting by its dotted key; empty if they are not valid."""
    problem: str
    """Why the service would not start with them; empty if it would."""


def publish(home: Home, settings: Settings) -> None:
    """Record the settings of a service that starts; raises OSError when the disk is full."""
    stored = sources.origins(home.settings)
    recorded: dict[str, Recorded] = {}
    plain = settings.model_dump(mode="json")
    for described in fields():
        value = at(plain, described.key)
        origin = stored.get(described.key, Origin.DEFAULT)
        if origin is Origin.DEFAULT and value != _plain(described.default):
            origin = Origin.FLAG
        if origin is not Origin.DEFAULT:
            recorded[described.key] = {"value": value, "origin": origin.value}
    durable.publish(home.settings_in_force, orjson.dumps(recorded))


def origins(home: Home, running: Mapping[str, Any]) -> dict[str, Origin]:
    """The origin of each running value that is not the default; `running` has all values by dotted key."""
    try:
        recorded: dict[str, Recorded] = orjson.loads(home.settings_in_force.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        recorded = {}
    return {key: Origin(entry["origin"]) for key, entry in recorded.items() if running.get(key) == entry["value"]}


def differing(home: Home, prefix: str) -> list[str]:
    """The settings with this prefix that a running service does not use, because file or environment changed since its start.

    Empty if no service has recorded its settings, or if file and environment are not valid.
    """
    try:
        recorded: dict[str, Recorded] = orjson.loads(home.settings_in_force.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return []
    later = now(home).values
    keys = [described for described in fields() if described.key.startswith(prefix) and described.key in later]
    return [
        described.key
        for described in keys
        if recorded.get(described.key, {"value": _plain(described.default)})["value"] != later[described.key]
    ]


def now(home: Home) -> Now:
    """What file and environment say now, without flags."""
    try:
        return Now(flat(loading.load(home.settings)), "")
    except BadSettings as error:
        return Now({}, str(error))


def flat(settings: Settings) -> dict[str, Any]:
    """Every value in its JSON form, by dotted key."""
    plain = settings.model_dump(mode="json")
    return {described.key: at(plain, described.key) for described in fields()}


def at(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split("."):
        values = values[part]
    return values


def fields(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Described]:
    """Every setting, in order."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{name}.")
            continue
        meaning = field.description or ""
        unit = UNIT.search(meaning)
        default = field.get_default(call_default_factory=True)
        yield Described(prefix + name, meaning, default, unit[1] if unit else "", _limits(field))


def _limits(field: FieldInfo) -> str:
    """The values that a setting takes, in words; empty if its description says it all."""
    if get_origin(field.annotation) is Literal:
        return " | ".join(map(str, get_args(field.annotation)))
    if field.annotation is bool:
        return "true | false"
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    ends = [
        f"{sign} {getattr(limit, name):,}"
        for limit in field.metadata
        for name, sign in signs.items()
        if getattr(limit, name, None) is not None
    ]
    return ", ".join(ends)


def _plain(value: Any) -> Any:
    """A default as JSON has it."""
    return orjson.loads(orjson.dumps(value))
