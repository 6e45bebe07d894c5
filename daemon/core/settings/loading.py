"""Reads the settings of a home, and explains what is wrong with them."""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.settings import sources
from retraind.daemon.core.settings.settings import PREFIX, Settings, entries, variable
from retraind.daemon.core.validation import toml_lines, words

ADDRESSES = ("url", "endpoint", "git_remote")
"""Settings that no text shows if they are refused: that may be because they have a password."""


def load(file: Path, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read `file` (may be absent), the environment and `flags`; raises BadSettings naming the key and the nearest one."""
    _check_environment()

    values = sources.merged(file, flags or {})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise BadSettings("\n".join(_explain(error, file, flags or {}))) from None


def _explain(error: ValidationError, file: Path, flags: Mapping[str, Any]) -> Iterator[str]:
    names = [key for key, _, _ in entries()] + list(Settings.model_fields)
    for problem in error.errors():
        key, source = words.place(problem), _source(problem["loc"], file, flags)
        if problem["type"] == "extra_forbidden":
            yield f"{source}: there is no setting {key!r}.{_nearest(key, names)}"
        else:
            said = "…" if key.rpartition(".")[2] in ADDRESSES else f"{problem['input']!r:.200}"
            yield f"{source}: {key} = {said}: {words.clause(problem)}."


def _source(loc: tuple[int | str, ...], file: Path, flags: Mapping[str, Any]) -> str:
    """The source of the value at `loc`, for the person who corrects it: a flag, a variable, or file and line."""
    level: Any = flags
    for part in loc:
        level = level.get(part) if isinstance(level, Mapping) else None
    if level is not None:
        return f"--{loc[-1]}"
    # A problem may lie within a value: train.candidates.0.
    names = [variable(".".join(map(str, loc[:end]))) for end in range(1, len(loc) + 1)]
    variable_name = next((name for name in names if os.environ.get(name)), None)
    if variable_name is not None:
        return f"environment: {variable_name}"
    line = toml_lines.line_of(file.read_text(), loc) if file.is_file() else None
    return f"{file}, line {line}" if line else str(file)


def _nearest(key: str, names: list[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.4)
    return f" Did you mean {close[0]!r}?" if close else " docs/settings.md lists all of them."


def _check_environment() -> None:
    """Refuse RETRAIND_… variables that name no setting."""
    variables = {variable(key): key for key, _, _ in entries()}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in variables and name != "RETRAIND_HOME":
            raise BadSettings(f"environment: there is no setting {name!r}.{_nearest(name, list(variables))}")
