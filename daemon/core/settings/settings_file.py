"""The text of a `retraind.toml`, written from the settings themselves."""

from collections.abc import Mapping
from typing import Any

import tomlkit

from retraind.daemon.core.settings.settings import entries


def text(chosen: Mapping[str, Any] | None = None) -> str:
    """The text of a `retraind.toml` that names every setting with its default, commented out except those `chosen`."""
    chosen = chosen or {}
    lines = [
        "# Every setting of retraind with its default. To change one, remove the # before it and before its [section]."
    ]
    section = ""
    for key, description, default in entries():
        head, _, name = key.rpartition(".")
        if head != section:
            section = head
            lines += ["", f"[{head}]" if any(other.startswith(f"{head}.") for other in chosen) else f"# [{head}]"]
        mark = "" if key in chosen else "# "
        lines += [f"# {description}", f"{mark}{name} = {_toml(chosen.get(key, default))}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update(value)
        return str(table.as_string())
    return str(tomlkit.item(value).as_string())
