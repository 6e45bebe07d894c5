"""The version to export: its verified bundle and its records."""

import sqlite3
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import orjson

from retraind.daemon.artifacts import reference_sample
from retraind.daemon.artifacts.bundle import PROBE, Manifest, Matrix, Model
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused, NotExportable, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.predicting import served_version
from retraind.daemon.records.lineage_chain import Chain
from retraind.daemon.records.records import Records
from retraind.daemon.schema.schema import Schema

MOST_DROPS = 1000
"""Drops that a model card lists; it says how many more there are."""


@dataclass(frozen=True)
class ExportedVersion:
    """A judged version with an intact bundle in `folder`."""

    home: Home
    number: int
    model: Model
    chain: Chain
    folder: Path

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.model.manifest

    @property
    def schema(self) -> Schema:
        """The columns that the model takes."""
        return self.manifest.data_schema

    @cached_property
    def sample(self) -> Matrix:
        """Some of the rows that trained the model, encoded, (n, width); none in the bundles of early releases."""
        reference = reference_sample.read(self.folder, self.manifest)
        return self.probe_rows if reference is None else reference.rows

    @cached_property
    def probe_rows(self) -> Matrix:
        """Rows of the probe, encoded."""
        import numpy as np

        return np.array(orjson.loads(self.read(PROBE))["rows"], dtype=np.float64)

    @cached_property
    def scale(self) -> float:
        """The range of a regression's values, by which differences are measured; 1 for probabilities."""
        return float(orjson.loads(self.read(PROBE)).get("scale", 1.0))

    def read(self, name: str) -> bytes:
        """The bytes of one of the bundle's files, verified; raises BundleRefused."""
        data = (self.folder / name).read_bytes()
        if durable.sha256(data) != self.manifest.files[name]:
            raise BundleRefused(f"{name} of version {self.number} is not the file that was recorded.")
        return data

    def has(self, name: str) -> bool:
        """Whether the bundle has a file of this name."""
        return name in self.manifest.files


def find(home: Home, number: int) -> ExportedVersion:
    """A version, loaded and probed. Raises NotFound if it does not exist or its files were removed, BundleRefused if they are damaged.

    Raises NotExportable if rows that trained it have been forgotten: a copy elsewhere could not be called back.
    """
    served_model = served_version.load(home, number).model
    try:
        chain = Records(home).versions.lineage(number, MOST_DROPS)
    except sqlite3.Error as error:
        raise BundleRefused(f"The journal of {home.root} can't be read: {error}.") from None
    if chain is None:
        raise NotFound(f"There is no version {number}.", hint="`retraind versions` lists them.")
    if forgotten := chain["drops"]["forgotten"]:
        names = ", ".join(drop["name"] for drop in chain["drops"]["newest"] if drop["forgotten_in"])
        raise NotExportable(
            f"Version {number} was trained on rows that have been forgotten since ({forgotten} drops: {names[:200]}).",
            hint="Export a version that was trained after that; `retraind versions` lists them.",
        )
    return ExportedVersion(home, number, served_model, chain, home.bundle(number))
