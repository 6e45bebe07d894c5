"""Releases of packages that this program works with."""

import importlib.metadata
from functools import cache


@cache
def of(package: str) -> str:
    """The version of an installed package; empty if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
