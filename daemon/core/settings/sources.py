"""Merges the sources of settings, table by table: flags override the environment, which overrides the file.

pydantic-settings would do the same, but its import takes longer than everything else a command needs.
"""

import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.settings.settings import entries, variable


class Origin(StrEnum):
    """Where the value of a setting comes from; a stronger one overrides those before it."""

    DEFAULT = "default"
    FILE = "retraind.toml"
    ENVIRONMENT = "environment"
    FLAG = "command line"


def merged(file: Path, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The merged values, unchecked; raises BadSettings if a source can't be read."""
    # Validating the defaults of unset sections would need another validator, which takes as long to build as the rest.
    sections: dict[str, Any] = {key.partition(".")[0]: {} for key, _, _ in entries() if "." in key}
    return _over(flags, _over(_environment(), _over(_file(file), sections)))


def origins(file: Path) -> dict[str, Origin]:
    """Where each setting comes from that the file or the environment has; raises BadSettings if they can't be read."""
    tables = {Origin.FILE: _file(file), Origin.ENVIRONMENT: _environment()}
    return {key: origin for origin, table in tables.items() for key, _, _ in entries() if _has(table, key)}


def _has(table: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(table, Mapping) or part not in table:
            return False
        table = table[part]
    return True


def _over(stronger: Mapping[str, Any], weaker: Mapping[str, Any]) -> dict[str, Any]:
    """Both merged; where both have a key, tables are merged and other values are overridden."""
    both = {**weaker, **stronger}
    for key, value in stronger.items():
        below = weaker.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            both[key] = _over(value, below)
    return both


def _environment() -> dict[str, Any]:
    known = {variable(key): (key, default) for key, _, default in entries()}
    tables: dict[str, Any] = {}
    for name, text in os.environ.items():
        if not text or name.upper() not in known:  # a unit file may leave a variable empty
            continue
        key, default = known[name.upper()]
        section, _, last = key.rpartition(".")
        table = tables.setdefault(section, {}) if section else tables
        table[last] = _decoded(name, text) if isinstance(default, list | dict) else text
    return tables


def _decoded(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        hint = """Write it as JSON, such as '["tree", "forest"]'."""
        raise BadSettings(f"environment: {name} = {text!r} is not JSON: {error}.", hint=hint) from None


def _file(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_bytes().decode())
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadSettings(f"{file}, line {line}: not valid TOML: it is not UTF-8.", hint="Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(_no_toml(file, str(error)), hint="Correct that line.") from None
    except OSError as error:
        raise BadSettings(f"{file}: it can't be read: {error.strerror}.", hint="Let this user read it.") from None


def _no_toml(file: Path, fault: str) -> str:
    """The parser's sentence, which ends with the place: `Expected … (at line 3, column 7)`."""
    reason, _, place = fault.rstrip(")").rpartition(" (at ")
    where = place if place.startswith("line ") else "at its end"
    return f"{file}, {where}: not valid TOML: {reason[:1].lower()}{reason[1:]}."
