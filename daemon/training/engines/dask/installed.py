"""What is installed where a task runs: other releases may compute other scores, so they are refused. Pure but for reading versions."""

import sys
from collections.abc import Mapping
from importlib import metadata

from retraind import release

PACKAGES = ("numpy", "scipy", "scikit-learn", "pyarrow", "distributed", "cloudpickle")
"""Packages that compute scores, or carry tasks."""

OPTIONAL = ("lightgbm", "xgboost")
"""Packages that workers need if the trainer has them, because their candidates then compete."""

Versions = Mapping[str, str]


def versions() -> dict[str, str]:
    """The version of each package here, of Python and of retraind, which has its commit if that is known."""
    commit = f" ({release.COMMIT[:12]})" if release.COMMIT else ""
    present = {"retraind": release.VERSION + commit, "Python": ".".join(map(str, sys.version_info[:2]))}
    for name in (*PACKAGES, *OPTIONAL):
        try:
            present[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return present


def objection(there: Versions, here: Versions) -> str:
    """Why a worker with other versions must not be used; empty if all that matters is equal."""
    differences = [
        f"{name} {there[name]} there, {version} here" if name in there else f"no {name} there, {version} here"
        for name, version in here.items()
        if there.get(name) != version
    ]
    if not differences:
        return ""
    return f"other packages could compute other scores: {'; '.join(differences)}. Install the same there as here."


def processor() -> str:
    """The kind of processor that numpy's linear algebra computes for here, such as `SkylakeX`; empty if unknown."""
    import numpy as np
    from threadpoolctl import threadpool_info

    assert np
    kinds = {str(library["architecture"]) for library in threadpool_info() if library.get("architecture")}
    return ", ".join(sorted(kinds))
