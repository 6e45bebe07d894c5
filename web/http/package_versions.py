"""Releases of packages that this program works with."""

from functools import cache


@cache
def of(package: str) -> str:
    """The version of an installed package; empty if it is not installed."""
    from importlib import metadata  # imported here, because hardly any client asks

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
