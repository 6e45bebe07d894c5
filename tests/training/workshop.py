"""A home with rows, and the trainer's own code run on them; a test module makes fixtures of `taught` and `leafy`."""

import copy
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import home_below

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox
from retraind.daemon.dataset import segment_writer
from retraind.daemon.gate.terms import Terms
from retraind.daemon.processes.training_job import Job
from retraind.daemon.registry.registry import Registry
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage import artifact_paths
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.tabular import rows
from retraind.daemon.training.run import train

PRICES = Schema(
    task="regression",
    target="price",
    columns=[
        Column(name="size", kind="number"),
        Column(name="rooms", kind="integer", missing=True),
        Column(name="garden", kind="boolean"),
        Column(name="built", kind="date"),
        Column(name="town", kind="category", categories=["Aachen", "Bonn"]),
    ],
)


LEAVES = Schema(
    target="tree",
    classes=["ash", "elm"],
    columns=[
        Column(name="length", kind="number"),
        Column(name="edge", kind="category", categories=["smooth", "toothed"]),
    ],
)


class Registered(Exception):
    """Ends a training whose version is registered: pictures and nested runs come after that."""


def stop() -> None:
    """What a training calls then, for tests that look at no picture."""
    raise Registered


class Workshop:
    """A home with segments, in which one training follows another as the daemon would ask for them."""

    def __init__(self, home: Home, schema: Schema) -> None:
        self.home, self.registry = home, Registry(home)
        self.registry.open()
        home.segments.mkdir(parents=True)
        self.segments: dict[str, str] = {}
        self.first_rows, self.rows, self.champion = 0, 0, (0, "")
        self.said: list[Any] = []
        self.gate: Terms | None = None
        self.use(schema)

    def copied(self, root: Path) -> "Workshop":
        """The same in a folder of its own, as a copied home is when it is started."""
        shutil.copytree(self.home.root, root)
        other = copy.copy(self)
        other.home, other.registry = Home(root), Registry(Home(root))
        other.segments, other.said = dict(self.segments), []
        assert artifact_paths.relocate(other.home)
        return other

    def use(self, schema: Schema) -> None:
        self.schema = schema
        self.home.schema.write_bytes(schema.dump())

    def add(self, cells: dict[str, list[str]], at: datetime | None = None) -> None:
        """One drop becomes one segment, by the schema as it is now; accepted now, if nothing else is said."""
        checked = rows.check(pa.table(cells), self.schema, Inbox())
        assert not checked.bad
        count = checked.table.num_rows
        drop = f"{len(self.segments):064x}"
        table = rows.with_provenance(checked.table, [drop], [count], np.arange(count), at or datetime.now(UTC), "file")
        made = segment_writer.write(self.home.segments, [table]).place()
        self.segments[made.name] = made.sha256
        self.first_rows, self.rows = self.first_rows or count, self.rows + count

    def train(self, *candidates: str, **settings: Any) -> Any:
        """Train, put the bundle in its place and serve it; returns its manifest. With `report_rows` it draws pictures, too."""
        chosen = {"candidates": list(candidates), "report_rows": 0, **settings}
        number, sha256 = self.champion
        champion = number or None, sha256 or None, list(range(1, number + 1)), self.gate
        job = Job(1, "test", "a" * 40, "b" * 32, self.segments, self.first_rows, chosen, *champion, rows=self.rows)
        with suppress(Registered):
            train(self.home, job, self.said.append, *([] if chosen["report_rows"] else [stop]))
        version = ModelVersions(self.home).versions()[-1]
        assert version.bundle is not None
        self.home.staging(version.run).rename(self.home.bundle(version.version))
        self.champion = version.version, version.bundle
        return bundle.load(self.home.bundle(version.version), version.bundle).manifest


def prices(count: int, seed: int = 0) -> dict[str, list[str]]:
    random = np.random.default_rng(seed)
    size, rooms, year = random.uniform(20, 200, count), random.integers(1, 9, count), random.integers(1950, 2020, count)
    garden, town = random.random(count) < 0.5, random.choice(["Aachen", "Bonn"], count)
    price = 2000 * size + 5000 * rooms + 100 * (year - 1950) + 9000 * garden + 20000 * (town == "Bonn")
    return {
        "size": [f"{value:.2f}" for value in size],
        "rooms": ["" if index % 9 == 0 else str(value) for index, value in enumerate(rooms)],
        "garden": [str(value).lower() for value in garden],
        "built": [f"{value}-06-01" for value in year],
        "town": list(town),
        "price": [f"{value:.1f}" for value in price],
    }


def leaves(trees: str, count: int, edges: str = "smooth toothed", seed: int = 0, **more: str) -> dict[str, list[str]]:
    """`count` leaves of each tree, told apart by their length; `more` are further columns of one text each."""
    random = np.random.default_rng(seed)
    names = [tree for tree in trees.split() for _ in range(count)]
    length = [f"{['ash', 'elm', 'oak'].index(tree) * 3 + random.normal():.6f}" for tree in names]
    edge = [edges.split()[index % len(edges.split())] for index in range(len(names))]
    return {"length": length, "edge": edge, "tree": names} | {key: [text] * len(names) for key, text in more.items()}


def grown(schema: Schema, **changes: Any) -> Schema:
    return Schema.model_validate(schema.model_dump() | changes)


def taught(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Workshop:
    """A home with a champion that knows two trees, two edges and two columns: what `leafy` copies."""
    workshop = Workshop(home_below(tmp_path_factory.mktemp("taught"), migrated), LEAVES)
    workshop.add(leaves("ash elm", 60))
    workshop.train("tree")
    return workshop


def leafy(taught: Workshop, tmp_path: Path) -> Workshop:
    """A home with a champion that knows two trees, two edges and two columns."""
    return taught.copied(tmp_path / "leafy")
