"""The verdict on a reproduction: the record of a version, compared with what training on its revision gives now."""

import math
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, NamedTuple, TypedDict

import numpy as np

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import PROBE, TWIN, Manifest, Matrix, Model, Probe
from retraind.daemon.core.journal_rows import VersionRow
from retraind.daemon.schema.scores import Scored

CLOSE = 1e-12
"""Largest difference (in a score, a probability, or a value divided by the probe's scale) that still counts as equal:
another order of summation, with another number of threads, causes that much."""


class Original(NamedTuple):
    """The record of a version."""

    row: VersionRow
    served: Model
    probe: Probe
    twin: Model | None

    @property
    def manifest(self) -> Manifest:
        """The manifest of its bundle."""
        return self.served.manifest


class Comparison(TypedDict):
    """A version's record compared with today's training on its revision."""

    version: int
    candidate: str
    revision: str
    seed: int
    settings_recorded: bool
    rows: int
    """Number of rows in the probe."""
    equal: str | None
    """`bit for bit`, `within 1e-12`, or None."""
    differences: dict[str, float | None]
    """The largest differences of the scores, of the estimator's answers and of the bundle's; None: not comparable."""
    files: dict[str, bool]
    """Whether each of the bundle's files has the same bytes."""
    libraries: dict[str, list[str | None]]
    """Libraries with another version now: the old one, the present one (None: not installed)."""


class Reproduction(Comparison):
    """A comparison with its duration."""

    seconds: float


def probe_rows(original: Original) -> Matrix:
    """The rows of the bundle's probe."""
    return np.array(original.probe["rows"], dtype=np.float64)  # null is NaN


def verdict(original: Original, remade: Model, twin: Model | None, scores: Scored, answers: Matrix) -> Comparison:
    """The comparison of all facts that both have.

    `scores` are those on the holdouts, `estimator` scikit-learn's answers for the probe rows, `answers` the bundle's,
    `twin` the judged model's if the served model is not the judged one. `files` tells which of the bundle's files have
    the same bytes, `libraries` which have another version now.
    """
    manifest, scale = original.manifest, original.probe.get("scale", 1.0)
    recorded = np.array(original.probe[bundle.answered(manifest.data_schema)], dtype=np.float64)
    rows = probe_rows(original)
    differences = {
        "scores": _apart(manifest.scores["challenger"], scores),
        "estimator": _distance(recorded, answers) / scale,
        "answers": _distance(original.served.answers(rows), remade.answers(rows)) / scale,
    }
    if original.twin is not None and twin is not None:
        differences["twin"] = _distance(original.twin.answers(rows), twin.answers(rows)) / scale
    largest = max(differences.values())
    close = f"within {CLOSE:g}" if largest <= CLOSE else None
    same = {
        name: sha256 == manifest.files[name]
        for name, sha256 in remade.manifest.files.items()
        if name in manifest.files and name not in (PROBE, f"{TWIN}{PROBE}")
    }
    return {
        "version": original.row["version"],
        "candidate": manifest.candidate,
        "revision": manifest.revision,
        "seed": manifest.seed,
        "settings_recorded": bool(manifest.settings),
        "rows": len(rows),
        "equal": "bit for bit" if largest == 0 else close,
        "differences": {name: value if math.isfinite(value) else None for name, value in differences.items()},
        "files": same,
        "libraries": {name: list(pair) for name, pair in _changed(manifest.libraries)},
    }


def _distance(recorded: Matrix, got: Matrix) -> float:
    """The largest difference of two answers; infinite if their shapes differ."""
    return float(np.abs(recorded - got).max(initial=0.0)) if recorded.shape == got.shape else math.inf


def _apart(recorded: Any, got: Any) -> float:
    """The largest difference of corresponding numbers in two scores; infinite if there are none to compare."""
    if isinstance(recorded, Mapping) and isinstance(got, Mapping):
        pairs = [(recorded.get(key), got.get(key)) for key in recorded.keys() | got.keys()]
    elif isinstance(recorded, list | tuple) and isinstance(got, list | tuple) and len(recorded) == len(got):
        pairs = list(zip(recorded, got, strict=True))
    elif recorded == got:
        return 0.0
    else:
        both = isinstance(recorded, int | float) and isinstance(got, int | float)
        return abs(recorded - got) if both else math.inf
    return max((_apart(*pair) for pair in pairs), default=0.0)


def _changed(recorded: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Each library with another version than in the training: the old and the present version (None: not installed)."""
    for name, then in recorded.items():
        now = platform.python_version() if name == "python" else _installed(name)
        if now != then:
            yield name, (then, now)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def sentence(result: Reproduction) -> str:
    """A verdict for people."""
    subject = f"version {result['version']} ({result['candidate']}) from revision {result['revision'][:10]}, seed {result['seed']}"
    differences = result["differences"].items()
    apart = ", ".join(
        f"{name} {'of another kind' if value is None else format(value, '.3g')}" for name, value in differences
    )
    lines = [f"equal {result['equal']}: {subject}" if result["equal"] else f"DIFFERENT: {subject}"]
    lines.append(
        f"  largest differences: {apart} ({result['rows']} probe rows); only the winning candidate was fitted again"
    )
    lines += [f"  {name}: {'the same bytes' if same else 'other bytes'}" for name, same in result["files"].items()]
    lines += [f"  {name} was {then}, is {now or 'not installed'}" for name, (then, now) in result["libraries"].items()]
    if not result["equal"] and not result["libraries"]:
        lines.append(
            "  All recorded libraries have the same versions: another processor or number of threads may be the cause."
        )
    if not result["settings_recorded"]:
        lines.append("  The bundle does not record its training settings, so today's were used.")
    return "\n".join(lines)
