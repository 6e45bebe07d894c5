"""The distribution of each column of a drop beside the usual one: that of the training rows of a version."""

import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import orjson
from numpy.typing import NDArray

from retraind.daemon.artifacts import manifest, reference_sample
from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState
from retraind.daemon.records import segments
from retraind.daemon.records.drops.decided import ExaminedDrop
from retraind.daemon.records.records import Records
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.web.columnar.profiles import MOST_COUNTS, QUANTILES, ColumnProfile, DropProfile, ProfileOrder
from retraind.web.pages.values import shown

COMMAND = [sys.executable, "-P", "-m", "retraind.web.columnar.drop_profile"]
SECONDS = 10.0
"""Reading is given up after this time; 64 MB take about a second."""

WAIT_SECONDS = 1.0
"""Maximum wait for the reading of another drop: a request that waits takes a place from other requests."""

MOST_BYTES = 256 * 2**20
"""Larger segments are not read for a page."""

KEPT = 64
"""Number of profiles that a worker keeps: the rows of an accepted drop do not change."""

WIDTH = 200
"""Width in pixels of a picture."""


class Strip(TypedDict):
    """Quantiles as pixels: ends of the line, of the box, and its middle."""

    low: float
    start: float
    middle: float
    end: float
    high: float


class Distribution(TypedDict):
    """A column of the drop and the usual one; None where there is none."""

    name: str
    kind: str
    drop: str
    usual: str
    strips: tuple[Strip, Strip] | None
    """Of numbers: the drop's, and the usual one."""


class Distributions(TypedDict):
    """The columns of a drop."""

    rows: int
    version: int | None
    """The version whose training rows are the usual ones."""
    columns: list[Distribution]
    problem: str
    """Why there are none; empty if there are."""


class Usual(NamedTuple):
    """A version, its schema, and the profiles of its training rows by column."""

    version: int
    schema: Schema
    columns: dict[str, ColumnProfile]


class Busy(Exception):
    """The rows of another drop are being read."""


class Profiles:
    """The profiles that were made last; one is made at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[str, str, int], DropProfile] = OrderedDict()

    def of(self, root: Path, drop: ExaminedDrop, order: ProfileOrder) -> DropProfile:
        """The profile of an accepted drop; raises Busy, OSError, subprocess.SubprocessError and ValueError."""
        key = str(root), drop["sha256"], drop["batch"] or 0
        if (made := self._made.get(key)) is not None:
            return made
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise Busy
        try:
            done = subprocess.run(
                COMMAND, input=orjson.dumps(order), stdout=subprocess.PIPE, timeout=SECONDS, check=True
            )
            profile: DropProfile = orjson.loads(done.stdout)
            self._made[key] = profile
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
            return profile
        finally:
            self._lock.release()


_profiles = Profiles()


def of(home: Home, records: Records, drop: ExaminedDrop, served: int | None) -> Distributions | None:
    """The distributions of an accepted drop; None for any other. `served` is the version that serves."""
    if drop["state"] != DropState.ACCEPTED or drop["batch"] is None:
        return None
    usual = _usual(home, records, drop, served)
    if usual is None:
        return _none("No version has a sample of its training rows to compare with.")
    rows = segments.current(home.journal).values()
    holding = [row for row in rows if row["first"] <= drop["batch"] <= row["last"]]
    if sum(row["bytes"] for row in holding) > MOST_BYTES:
        return _none(f"The segment with its rows is larger than {MOST_BYTES >> 20} MB.")
    kinds = {column.name: column.kind for column in usual.schema.columns}
    kinds |= {usual.schema.target: "category" if usual.schema.classes else "number"}
    paths = [str(home.segments / row["name"]) for row in holding]
    try:
        profile = _profiles.of(home.root, drop, {"paths": paths, "drop": drop["sha256"], "kinds": kinds})
    except Busy:
        return _none("The rows of another drop are being read; load the page again.")
    except (OSError, subprocess.SubprocessError, ValueError):
        return _none("Its rows can't be read now; `retraind doctor` checks the dataset.")
    if not profile["rows"]:
        return _none("The dataset has no row of it; `retraind doctor` checks the dataset.")
    columns = [_distribution(column, profile, usual) for column in [*usual.schema.columns, _target(usual.schema)]]
    return {"rows": profile["rows"], "version": usual.version, "columns": columns, "problem": ""}


def _none(problem: str) -> Distributions:
    return {"rows": 0, "version": None, "columns": [], "problem": problem}


def _target(schema: Schema) -> Column:
    return Column(name=schema.target, kind="category" if schema.classes else "number", categories=schema.classes)


def _usual(home: Home, records: Records, drop: ExaminedDrop, served: int | None) -> Usual | None:
    """The version that examined the drop, or else the served one, with the profiles of its training rows."""
    examiner = drop["exam"]["version"] if drop["exam"] else None
    for number in (examiner, served):
        row = records.versions.get(number) if number is not None else None
        if row is None:
            continue
        folder = home.bundle(row["version"])
        try:
            details = manifest.read_manifest(folder, row["bundle"])
            reference = reference_sample.read(folder, details)
        except BundleRefused:
            continue
        if reference is not None:
            return Usual(row["version"], details.data_schema, _profiled(reference.rows, details))
    return None


def _profiled(rows: NDArray[np.float64], details: Manifest) -> dict[str, ColumnProfile]:
    schema = details.data_schema
    profiles = {column.name: _profile(rows[:, place], column) for place, column in enumerate(schema.columns)}
    support = (details.scores.get("taught") or {}).get("support") or {}
    if support:
        counts = sorted(support.items(), key=lambda pair: -pair[1])
        n = sum(support.values())
        profiles[schema.target] = {"n": n, "missing": 0, "counts": counts[:MOST_COUNTS], "distinct": len(counts)}
    return profiles


def _profile(values: NDArray[np.float64], column: Column) -> ColumnProfile:
    """A column in the model's encoding: a category is a code, -1 if missing or unknown."""
    if column.kind in ("category", "boolean"):
        names = column.categories if column.kind == "category" else ["false", "true"]
        known = values[(values >= 0) & (values < len(names))].astype(np.int64)
        counts = np.bincount(known, minlength=len(names))
        order = [code for code in np.argsort(-counts, kind="stable").tolist() if counts[code]]
        named = [(names[code], int(counts[code])) for code in order[:MOST_COUNTS]]
        return {"n": len(values), "missing": len(values) - len(known), "counts": named, "distinct": len(order)}
    present = values[~np.isnan(values)]
    quantiles = np.quantile(present, QUANTILES).tolist() if len(present) else []
    return {"n": len(values), "missing": len(values) - len(present), "quantiles": quantiles}


def _distribution(column: Column, profile: DropProfile, usual: Usual) -> Distribution:
    here, there = profile["columns"].get(column.name), usual.columns.get(column.name)
    return {
        "name": column.name,
        "kind": "target" if column.name == usual.schema.target else column.kind,
        "drop": _sentence(column, here),
        "usual": _sentence(column, there),
        "strips": _strips(here, there),
    }


def _sentence(column: Column, profile: ColumnProfile | None) -> str:
    if profile is None or not profile["n"]:
        return "–"
    present = profile["n"] - profile["missing"]
    parts: list[str] = []
    if "counts" in profile and present:
        parts = [f"{name} {count / present:.0%}" for name, count in profile["counts"][:5]]
        more = profile.get("distinct", 0) - len(parts)
        parts += [f"{more} more"] if more > 0 else []
    elif quantiles := profile.get("quantiles"):
        low, _, middle, _, high = (shown(column, value) for value in quantiles)
        parts = [f"{low} to {high}, median {middle}"]
    if profile["missing"]:
        parts.append(f"{profile['missing'] / profile['n']:.0%} missing")
    return ", ".join(parts)


def _strips(here: ColumnProfile | None, there: ColumnProfile | None) -> tuple[Strip, Strip] | None:
    drop, usual = (each.get("quantiles") if each else None for each in (here, there))
    if not drop or not usual:
        return None
    low, high = min(drop[0], usual[0]), max(drop[-1], usual[-1])
    return _strip(drop, low, high), _strip(usual, low, high)


def _strip(quantiles: list[float], low: float, high: float) -> Strip:
    places = [round(WIDTH * (value - low) / (high - low), 1) if high > low else WIDTH / 2 for value in quantiles]
    return {"low": places[0], "start": places[1], "middle": places[2], "end": places[3], "high": places[4]}
