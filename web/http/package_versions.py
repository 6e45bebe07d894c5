"""Releases of this program and of packages that it works with."""

import importlib.metadata
from functools import cache


@cache
def of(package: str) -> str:
    """The version of an installed package; `0+checkout` if it runs from a checkout."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "0+checkout"
