"""The stamp: a hash of everything that an environment depends on. With an equal stamp there is nothing to install."""

import hashlib
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

NAME = ".stamp"
"""The file in an environment that has the stamp. An environment without it is not complete."""


def stamp(locks: Sequence[Path], project: Path | None, packages: Path | None = None) -> str:
    """The stamp of an environment of this Python with the packages of `locks` and the project in the folder `project`.

    And with those of the file `packages`, if it exists.
    """
    facts = json.dumps([sys.version, str(project), _metadata(project)], sort_keys=True).encode()
    more = [packages] if packages and packages.exists() else []
    return hashlib.sha256(facts + b"".join(path.read_bytes() for path in (*locks, *more))).hexdigest()


def _metadata(project: Path | None) -> object:
    """The project's own table: its entry points and its version are installed with it."""
    if project is None:
        return None
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
