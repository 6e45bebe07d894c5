"""Data of other people from end to end: `init`, drops in pieces, training, serving, late labels. Real processes."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from service import REPOSITORY, Service, wait_until

from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema, load
from retraind.daemon.storage.journal import Journal

ASKED = 3
"""Rows at the end of each data set that are predicted first and labelled later."""

SETTINGS = {
    "RETRAIND_BOOTSTRAP": "none",
    "RETRAIND_TRAIN__CANDIDATES": '["logistic", "ridge"]',
    "RETRAIND_PROMOTE__TOLERANCE": "1",
    "RETRAIND_PROMOTE__RECALL_TOLERANCE": "1",
}


@dataclass(frozen=True)
class Table:
    """A data set as text: the header and rows of cells, the target last."""

    header: list[str]
    rows: list[list[str]]

    def csv(self, rows: list[list[str]], header: list[str] | None = None) -> bytes:
        """A CSV file of these rows."""
        text = io.StringIO()
        csv.writer(text).writerows([header or self.header, *rows])
        return text.getvalue().encode()


def of_scikit_learn(name: str) -> Table:
    """A bundled data set, in an order that mixes its classes."""
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    names = [str(one) for one in bunch.feature_names]
    targets = [repr(float(y)) if name == "diabetes" else str(bunch.target_names[y]) for y in bunch.target]
    rows = [[*map(repr, row.tolist()), target] for row, target in zip(bunch.data, targets, strict=True)]
    return Table([*names, "target"], mixed(rows))


def made(name: str) -> Table:
    """Made by `sklearn.datasets.make_NAME`: eight columns of numbers, as the districts of California have, and a value."""
    matrix, values = getattr(sklearn.datasets, f"make_{name}")(n_samples=600, n_features=8, noise=0.5, random_state=7)
    names = ["income", "age", "rooms", "bedrooms", "population", "occupancy", "latitude", "longitude"]
    rows = np.column_stack([matrix, values]).round(4).tolist()
    return Table([*names, "value"], [[repr(cell) for cell in row] for row in rows])


def table(name: str) -> Table:
    """A data set by its name."""
    if name in MADE:
        return made(name)
    return penguins(name) if name == "penguins" else of_scikit_learn(name)


def penguins(name: str) -> Table:
    """The Palmer penguins as their authors published them: categories, integers, and `NA` where none was measured."""
    import palmerpenguins

    text = (Path(palmerpenguins.__file__).parent / "data" / f"{name}.csv").read_text()
    header, *rows = csv.reader(io.StringIO(text))
    target = header.index("species")
    order = [index for index in range(len(header)) if index != target] + [target]
    cells = [[row[index] for index in order] for row in rows]
    return Table([header[index] for index in order], mixed(cells))


def mixed(rows: list[list[str]]) -> list[list[str]]:
    """Every seventh row, then the next of them, and so on: any piece has rows of every class."""
    return [row for first in range(7) for row in rows[first::7]]


def value(column: Column, cell: str) -> Any:
    """A cell as JSON has it."""
    if cell in ("", "NA"):
        return cell or None
    match column.kind:
        case "number":
            return float(cell)
        case "integer":
            return int(float(cell))
        case "boolean":
            return cell in ("true", "1")
    return cell


class Journey:
    """One data set on its way through a service of its own."""

    def __init__(self, folder: Path, table: Table, settings: dict[str, str]) -> None:
        self.table = table
        self.service = Service(folder / "home", **settings)
        self.taught, self.asked = table.rows[:-ASKED], table.rows[-ASKED:]
        self.folder = folder

    def init(self) -> Schema:
        """`retraind init` on a file with all the data; the schema that it writes."""
        path = self.folder / "all.csv"
        path.write_bytes(self.table.csv(self.table.rows))
        home = str(self.service.home.root)
        command = [
            sys.executable,
            "-m",
            "retraind.daemon",
            "init",
            str(path),
            "--target",
            self.table.header[-1],
            "--home",
            home,
        ]
        subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
        schema = load(self.service.home.schema)
        assert schema is not None
        return schema

    def drop_in_pieces(self) -> None:
        """A large drop, a compressed one, and one whose columns come the other way round."""
        first, second = len(self.taught) * 6 // 10, len(self.taught) * 9 // 10
        self.service.home.make()
        inbox = self.service.home.inbox
        (inbox / "first.csv").write_bytes(self.table.csv(self.taught[:first]))
        (inbox / "second.csv.gz").write_bytes(gzip.compress(self.table.csv(self.taught[first:second])))
        backwards = [row[::-1] for row in self.taught[second:]]
        (inbox / "third.csv").write_bytes(self.table.csv(backwards, self.table.header[::-1]))

    def wait_trained(self, rows: int) -> None:
        """Wait until a version that has seen all rows answers."""

        def served() -> bool:
            _, listing = self.service.ask("/versions")
            return any(row["rows"] == rows and row["version"] == listing["champion"] for row in listing["versions"])

        wait_until(served, what=f"a version of {rows} rows: {self.service.log()[-1500:]}")

    def wait_judged(self, version: int) -> dict[str, Any]:
        """Wait for the verdict on a version."""

        def found() -> dict[str, Any] | None:
            _, listing = self.service.ask("/versions")
            return next((dict(row) for row in listing["versions"] if row["version"] == version), None)

        return wait_until(found, what=f"a verdict on version {version}: {self.service.log()[-1500:]}")

    def reproduce(self, version: int) -> dict[str, Any]:
        """What `retraind reproduce` says."""
        home = str(self.service.home.root)
        command = [sys.executable, "-m", "retraind.daemon", "reproduce", str(version), "--home", home, "--json"]
        done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
        return dict(json.loads(done.stdout))

    def predict(self, schema: Schema, row: list[str]) -> dict[str, Any]:
        """The answer for a row of cells."""
        cells = dict(zip(self.table.header, row, strict=True))
        features = {column.name: value(column, cells[column.name]) for column in schema.columns}
        status, answer = self.service.ask("/predict", {"features": features})
        assert status == 200, answer
        return dict(answer)

    def label(self, answers: list[dict[str, Any]]) -> dict[str, str]:
        """Drop what was true, and wait until the rows are in; gives the journal's record by prediction id."""
        ids = [answer["prediction_id"] for answer in answers]
        rows = [[name, row[-1]] for name, row in zip(ids, self.asked, strict=True)]
        labels = self.table.csv(rows, ["prediction_id", self.table.header[-1]])
        (self.service.home.inbox / "labels.csv").write_bytes(labels)
        self.service.wait_ingested()
        with Journal.reading(self.service.home.journal) as journal:
            return dict(journal.labels.truths(ids))


@pytest.fixture
def journey(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journey]:
    """The data set that a test is parametrised with: its name, and settings of the service."""
    name, settings = request.param
    journey = Journey(tmp_path, table(name), settings)
    yield journey
    journey.service.end()


MADE = ["regression", "friedman1"]
VALUES = ["diabetes", *MADE]
DATA = ["iris", "wine", "breast_cancer", "digits", "penguins", *VALUES]
ALWAYS = {"penguins", "diabetes"}
"""Missing values, words and classes; numbers and values. The others are looked at in the full run."""


def journeys(names: list[str], settings: dict[str, str], always: set[str]) -> pytest.MarkDecorator:
    """Parametrise a test with data sets, of which some are looked at in the full run only."""
    marks = {name: () if name in always else pytest.mark.slow for name in names}
    return pytest.mark.parametrize(
        "journey", [pytest.param((name, settings), id=name, marks=marks[name]) for name in names], indirect=True
    )


@journeys(DATA, SETTINGS, ALWAYS)
def test_data_set_from_init_to_late_labels(journey: Journey, request: pytest.FixtureRequest) -> None:
    """Any data set is inferred, accepted whole, trained on, served and labelled afterwards; each row counts once."""
    schema = journey.init()
    regression = request.node.callspec.id in VALUES
    assert schema.task == ("regression" if regression else "classification")
    journey.drop_in_pieces()
    journey.service.start()
    journey.wait_trained(len(journey.taught))
    assert sum(journey.service.rows().values()) == len(journey.taught)
    answers = [journey.predict(schema, row) for row in journey.asked]
    assert all((answer["prediction_name"] in schema.classes) != regression for answer in answers)
    truths = [row[-1] for row in journey.asked]
    labelled = journey.label(answers)
    assert [labelled[answer["prediction_id"]] for answer in answers] == truths
    assert sum(journey.service.rows().values()) == len(journey.table.rows)
    _, listing = journey.service.ask("/versions")
    live = next(row["live"] for row in listing["versions"] if row["version"] == answers[0]["model_version"])
    assert live["n"] == ASKED
    assert "rmse" in live if regression else live["accuracy"] >= 1 / ASKED


STRICT = {key: value for key, value in SETTINGS.items() if "PROMOTE" not in key}


@journeys(MADE, STRICT, set())
def test_values_are_judged_and_can_be_reproduced(journey: Journey) -> None:
    """More rows are compared with those before on the same held-out ones; lies about the values are refused."""
    journey.init()
    journey.service.start()
    inbox, rows = journey.service.home.inbox, journey.taught
    (inbox / "first.csv").write_bytes(journey.table.csv(rows[:200]))
    assert journey.wait_judged(1)["state"] == "promoted"
    (inbox / "second.csv").write_bytes(journey.table.csv(rows[200:400]))
    second = journey.wait_judged(2)
    assert second["state"] == "promoted", second["reason"]
    assert second["scores"]["paired"]["holdout"]["rolling"]["n"] == second["scores"]["champion"]["rolling"]["n"] > 50
    values = [row[-1] for row in rows[:400]]
    lies = [[*row[:-1], value] for row, value in zip(rows[:400], values[7:] + values[:7], strict=True)]
    (inbox / "lies.csv").write_bytes(journey.table.csv(lies))
    third = journey.wait_judged(3)
    assert third["state"] == "refused"
    assert "R² on the reference holdout falls" in third["reason"]
    assert journey.service.ask("/versions")[1]["champion"] == 2
    outcome = journey.reproduce(2)
    assert (outcome["equal"], outcome["seed"]) == ("bit for bit", 42)
