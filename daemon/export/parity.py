"""The check of an export: the written files answer as the version does, or nothing is exported."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retraind.daemon.artifacts.bundle import PARITY
from retraind.daemon.core.errors import InvalidFeatures, NotExportable
from retraind.daemon.export import example_rows
from retraind.daemon.export.exported_version import ExportedVersion
from retraind.daemon.portable import package
from retraind.daemon.schema.costs import named
from retraind.daemon.schema.row_encoding import encode

EXAMPLE = "example.py"

SHOWN = 3
"""Rows in the example of an export."""


class Checked(NamedTuple):
    """The rows of the check, by column name, the version's own answers, and the largest difference from them."""

    rows: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    difference: float


def expected(version: ExportedVersion) -> Checked:
    """Rows and the answers that the service gives for them."""
    schema, kept, encoded = version.schema, [], []
    for row in example_rows.of(schema, version.sample):
        try:
            encoded.append(encode(schema, row))
        except InvalidFeatures:  # a schema of an early release may not allow a value that its data had
            continue
        kept.append(dict(zip(schema.features, row, strict=True)))
    if not kept:
        raise NotExportable(f"Version {version.number} keeps no rows that could check an export.")
    answers = version.model.answers(np.array(encoded))
    return Checked(kept, _worded(version, answers), 0.0)


def _worded(version: ExportedVersion, answers: Any) -> list[dict[str, Any]]:
    """Answers in the form of the example scripts."""
    if version.schema.task == "regression":
        return [{"value": value} for value in answers[:, 0].tolist()]
    classes = version.schema.classes
    codes = named(answers, version.model.costs).tolist()
    return [
        {"label": classes[code], "probabilities": dict(zip(classes, shares, strict=True))}
        for code, shares in zip(codes, answers.tolist(), strict=True)
    ]


def check(version: ExportedVersion, folder: Path, service: Checked) -> Checked:
    """Ask the example script of an export; raises NotExportable if an answer differs by more than PARITY, or a label at all."""
    with script(folder) as example:
        answers = example.predict(service.rows)
    difference = max(map(_distance, answers, service.answers), default=0.0) / version.scale
    same = len(answers) == len(service.answers) and all(
        answer.get("label") == other.get("label") for answer, other in zip(answers, service.answers, strict=True)
    )
    if not (same and difference <= PARITY):
        raise NotExportable(
            f"The exported model of version {version.number} differs from the served one by {difference:.2g}; allowed is {PARITY:g}.",
            hint="Try another --format.",
        )
    return service._replace(difference=difference)


def _distance(answer: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    parts: list[Sequence[float]] = [_numbers(each) for each in (answer, other)]
    return max((abs(ours - theirs) for ours, theirs in zip(*parts, strict=True)), default=0.0)


def _numbers(answer: Mapping[str, Any]) -> list[float]:
    return [answer["value"]] if "value" in answer else list(answer["probabilities"].values())


@contextmanager
def script(folder: Path) -> Iterator[Any]:
    """The example script of a folder as a module, with the modules beside it."""
    with package.importable(folder):
        spec = importlib.util.spec_from_file_location("retraind_example", folder / EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
