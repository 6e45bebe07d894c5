"""Packages that a person adds to an environment: estimators for `train.candidates`, beside the packages of the locks."""

import re
from collections.abc import Sequence
from pathlib import Path

PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", re.MULTILINE)
"""A line of a lock file: name and version; hashes follow."""

CONSTRAINTS = ".constraints"
"""The file in an environment that has the versions of the locks, for pip and uv."""


def constraints(locks: Sequence[Path]) -> str:
    """The versions of the lock files as constraints; those that a package asks for must agree with them."""
    pinned = [match for lock in locks for match in PINNED.findall(lock.read_text(encoding="utf-8"))]
    return "".join(f"{name}=={version}\n" for name, version in pinned)


def arguments(packages: Path, folder: Path, locks: Sequence[Path]) -> list[str | Path]:
    """The arguments of `pip install` for a file of requirements; writes the constraints into the environment `folder`."""
    (folder / CONSTRAINTS).write_text(constraints(locks), encoding="utf-8")
    return ["-r", packages, "-c", folder / CONSTRAINTS]
