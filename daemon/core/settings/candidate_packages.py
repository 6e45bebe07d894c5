"""Packages of candidates: which candidates of the settings belong to a package that is not installed.

It imports none of them, so the daemon and `retraind doctor` can look at any time.
"""

import importlib.util
from collections.abc import Sequence

from retraind.daemon.core.settings.train import EXTRA

INSTALL = "Install it where retraind is installed (docs/training.md, Packages of candidates), or take the name out of train.candidates."


def package(candidate: str) -> str | None:
    """The package to import for a candidate, as `imblearn` for `imblearn.ensemble:RUSBoostClassifier`; None if retraind has it."""
    if candidate in EXTRA:
        return candidate
    return candidate.partition(":")[0].partition(".")[0] if ":" in candidate else None


def absent(candidates: Sequence[str]) -> dict[str, str]:
    """The candidates whose package is not installed, with a sentence for people on each."""
    packages = {name: package(name) for name in candidates}
    return {
        name: f"{name}: the package {needed} is not installed."
        for name, needed in packages.items()
        if needed is not None and importlib.util.find_spec(needed) is None
    }


def objection(candidates: Sequence[str]) -> str | None:
    """A sentence on all absent ones; None if there is none."""
    sentences = absent(candidates).values()
    return f"Left out of every training: {' '.join(sentences)} {INSTALL}" if sentences else None
