"""Homes with versions to take away: for the tests of `retraind.daemon.export`."""

import json
from collections.abc import Sequence
from typing import Any

import bundles
import numpy as np
from sites import Client
from workshop import Workshop

from retraind.daemon.artifacts.bundle import PARITY, Pointer
from retraind.daemon.core.home import Home
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema

TOWNS = [f"town {number}" for number in range(25)]

CUSTOMERS = Schema(
    target="churned",
    classes=["no", "perhaps", "yes"],
    columns=[
        Column(name="fee", kind="number", missing=True),
        Column(name="visits", kind="integer"),
        Column(name="age", kind="integer", missing=True),
        Column(name="member", kind="boolean"),
        Column(name="newsletter", kind="boolean", missing=True),
        Column(name="since", kind="date", missing=True),
        Column(name="plan", kind="category", categories=["basic", "gold", 'Ümläut, "quoted"'], missing=True),
        Column(name="town", kind="category", categories=TOWNS),
    ],
)
"""Every kind of column but a text, with and without missing values."""


def customers(count: int, seed: int = 0) -> dict[str, list[str]]:
    """Cells of as many rows, in which all columns matter."""
    random = np.random.default_rng(seed)
    fee, visits, age = random.normal(20, 8, count), random.integers(0, 30, count), random.integers(18, 90, count)
    member, letter, year = random.random(count) < 0.5, random.random(count) < 0.4, random.integers(1990, 2025, count)
    plans, towns = random.integers(0, 3, count), random.integers(0, len(TOWNS), count)
    score = (
        fee / 8
        - visits / 10
        + member
        + 0.5 * letter
        + (year - 2005) / 20
        + plans
        + (towns % 5) / 3
        + random.normal(0, 0.7, count)
    )
    codes = np.digitize(score, np.quantile(score, [0.4, 0.8]))
    gap = random.random((count, 5)) < 0.1
    plan = np.array(CUSTOMERS.columns[6].categories)[plans]
    return {
        "fee": ["" if gap[row, 0] else f"{fee[row]:.3f}" for row in range(count)],
        "visits": [str(value) for value in visits],
        "age": ["" if gap[row, 1] else str(age[row]) for row in range(count)],
        "member": [str(value).lower() for value in member],
        "newsletter": ["" if gap[row, 2] else str(letter[row]).lower() for row in range(count)],
        "since": [
            "" if gap[row, 3] else f"{year[row]}-0{1 + row % 9}-1{row % 10}T0{row % 10}:30:00" for row in range(count)
        ],
        "plan": ["" if gap[row, 4] else plan[row] for row in range(count)],
        "town": [TOWNS[code] for code in towns],
        "churned": [CUSTOMERS.classes[code] for code in codes],
    }


def recorded(workshop: Workshop, *candidates: str, **settings: Any) -> int:
    """Train a version, record its verdict and serve it; returns its number."""
    manifest = workshop.train(*candidates, **settings)
    number, sha256 = workshop.champion
    bundles.point(workshop.home, Pointer(version=number, manifest=sha256, since=manifest.created))
    return number


def strangers(count: int) -> list[dict[str, Any]]:
    """Rows of CUSTOMERS as requests have them, with gaps, towns that no schema lists, and values beyond those of the data."""
    cells = customers(count, seed=99)
    rows = []
    for number in range(count):
        row = {column.name: _value(column, cells[column.name][number]) for column in CUSTOMERS.columns}
        row["town"] = ["nowhere", "", row["town"], row["town"]][number % 4]
        row["plan"] = "platinum" if number % 7 == 0 else row["plan"]
        row["fee"] = 1e30 if number % 11 == 0 else row["fee"]
        rows.append(row)
    return rows


def _value(column: Column, cell: str) -> Any:
    if not cell:
        return None
    if column.kind == "boolean":
        return cell == "true"
    return {"number": float, "integer": int}.get(column.kind, str)(cell)


def served_answers(home: Home, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `POST /predict` answers, in the form of the example scripts."""
    status, _, body = Client(home).ask("POST", "/predict", json.dumps({"instances": list(rows)}).encode())
    assert status == 200, body
    answers = json.loads(body)["predictions"]
    if "probabilities" not in answers[0]:
        return [{"value": answer["prediction"]} for answer in answers]
    return [{"label": answer["prediction_name"], "probabilities": answer["probabilities"]} for answer in answers]


def same(answers: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], scale: float = 1.0) -> bool:
    """Whether labels are equal, and numbers as near as a bundle must be to scikit-learn."""
    if [each.get("label") for each in answers] != [each.get("label") for each in others]:
        return False
    numbers, wanted = (
        [[each["value"]] if "value" in each else list(each["probabilities"].values()) for each in some]
        for some in (answers, others)
    )
    return bool(np.abs(np.array(numbers) - np.array(wanted)).max() <= PARITY * scale)
