"""Extras: the packages of optional parts, each with a lock file of its own, and which of them the settings of a home need."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

NEEDED_BY = {
    "dask": (("train", "scheduler"),),
    "notify": (("notify", "urls_file"),),
    "postgres": (("journal", "url"), ("mlflow", "url")),
    "s3": (("storage", "url"), ("inbox", "url")),
}
"""Settings that need an extra if they are not empty, by its name."""

SERVERS = ("journal-server.json", "mlflow-server.json")
"""Files of a home that name a PostgreSQL server."""


def locks(lock: Path, extras: str) -> tuple[Path, ...]:
    """The lock file, and beside it those of extras, which are separated by commas.

    Exits with a sentence if there is no such extra.
    """
    names = sorted({name.strip() for name in extras.split(",")} - {""})
    if unknown := sorted(set(names) - NEEDED_BY.keys()):
        raise SystemExit(f"install: there is no extra '{unknown[0]}', only {' and '.join(NEEDED_BY)}.")
    return lock, *(lock.with_name(f"{lock.stem}-{name}{lock.suffix}") for name in names)


def needed(home: Path, variables: Mapping[str, str], environment: Path | None = None) -> list[str]:
    """The extras that a home needs by its retraind.toml, these variables, and those in the file `environment`.

    A home whose journal or MLflow database is on a server needs no setting for it, only the file that names the server.
    """
    settings, variables = _table(home / "retraind.toml"), {**_variables(environment), **variables}
    needs = {
        name
        for name, keys in NEEDED_BY.items()
        if any(_value(settings, section, key, variables) for section, key in keys)
    }
    if any((home / "registry" / name).exists() for name in SERVERS):
        needs.add("postgres")
    return sorted(needs)


def _value(settings: Mapping[str, object], section: str, key: str, variables: Mapping[str, str]) -> object:
    """The value of a setting; a variable comes before the file."""
    variable = f"RETRAIND_{section}__{key}".upper()
    if variable in variables:
        return variables[variable]
    table = settings.get(section)
    return table.get(key) if isinstance(table, Mapping) else None


def _table(path: Path) -> Mapping[str, object]:
    """The settings in a file. One that can't be read is the service's to report, with the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _variables(path: Path | None) -> dict[str, str]:
    """The variables in a file of systemd's form: NAME=VALUE lines, the value perhaps in quotes."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path else []
    except FileNotFoundError:
        return {}
    pairs = (line.strip().partition("=") for line in lines if not line.lstrip().startswith(("#", ";")))
    return {name.strip(): value.strip().strip("'\"") for name, equals, value in pairs if equals}
