"""A draft of a schema from somebody's own CSV file: what `retraind init` writes.

Level 3. Nothing is asked; what was decided is shown, and `data/schema.json` can be edited.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Literal

import pyarrow as pa
from pydantic import ValidationError

from daemon import cells, content, kinds
from daemon.classes import number
from daemon.content import Content
from daemon.errors import BadSchema, InvalidDrop
from daemon.schema import PREDICTION_ID, REMARKS, Column, Schema, Task
from daemon.survey import MOST_CATEGORIES, Survey

FEW_VALUES = 20
"""Whole numbers in a target are classes up to so many different ones, in large files up to FEW_SHARE of the rows."""

FEW_SHARE = 0.05


@dataclass(frozen=True)
class Draft:
    """A schema, and the columns of the file that it leaves out, each with the reason; rows that could not be read."""

    schema: Schema
    left_out: dict[str, str]
    torn: int


def of(path: Path, target: str, task: Task | None = None, most: int = 1 << 40) -> Draft:
    """The schema that a .csv or .csv.gz (at most `most` bytes inflated) suggests; raises BadSchema with what is in the way.

    A column is of the first of these kinds that all its filled cells fit: number (integer if all are written as such; none
    is written like 007), boolean (true and false), date (ISO 8601), category (up to MOST_CATEGORIES texts).
    The numbers have a decimal comma if the delimiter is another character and more columns hold numbers like 1,5 than
    like 1.5. The task, unless given, is regression if the target is a number and has fractions or many different values:
    more than FEW_VALUES and more than FEW_SHARE of the rows, or more than MOST_CATEGORIES.
    """
    try:
        surveys, delimiter, torn = _survey(_content(path, most), target)
    except InvalidDrop as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        raise BadSchema(f"{where}: {error.reason}", hint="Mend the file and try again.") from None
    except OSError as error:
        raise BadSchema(f"{path}: {error.strerror}.", hint="Name a CSV file with a header.") from None
    if target not in surveys:
        raise BadSchema(f"{path} has no column {target!r}.", hint=f"It has: {', '.join(surveys)}.")
    try:
        schema, left_out = _decide(surveys, target, task, _decimal(surveys, delimiter))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise BadSchema(f"{path}: {reason}.", hint="Change the file, or write data/schema.json by hand.") from None
    except ValueError as error:
        raise BadSchema(f"{path}: {error}.", hint="Change the file, or write data/schema.json by hand.") from None
    return Draft(schema, left_out, torn)


def _content(path: Path, most: int) -> Content:
    fd = os.open(path, os.O_RDONLY)
    if content.is_packed(path.name):
        try:
            return content.take(fd, Path(gettempdir()), inflate=True, most=most)
        finally:
            os.close(fd)
    return Content("", os.fstat(fd).st_size, None, fd)  # closes it


def _survey(file: Content, target: str) -> tuple[dict[str, Survey], str, int]:
    """What each column holds, the delimiter, and the number of torn records; raises InvalidDrop, OSError."""
    header = cells.examine(file, [target])
    surveys = {name: Survey() for name in header.names if name not in REMARKS}
    torn = []
    for chunk in cells.chunks(file, header):
        torn += chunk.torn
        for name, survey in surveys.items():
            survey.add(pa.concat_arrays(chunk.table[name].chunks) if len(chunk.records) else pa.array([], pa.string()))
    if torn and not any(survey.rows for survey in surveys.values()):
        _, line, _ = next(cells.locate(file, header, [torn[0].record]))
        raise InvalidDrop(torn[0].reason, line=line)
    return surveys, header.delimiter, len(torn)


def _decimal(surveys: Mapping[str, Survey], delimiter: str) -> Literal[".", ","]:
    points, commas = (
        sum(survey.numbers[mark].fits and mark in survey.marks for survey in surveys.values()) for mark in (".", ",")
    )
    return "," if delimiter != "," and commas > points else "."


def _decide(
    surveys: Mapping[str, Survey], target: str, task: Task | None, decimal: Literal[".", ","]
) -> tuple[Schema, dict[str, str]]:
    """Schema and left-out columns; raises ValueError."""
    task = task or _task(surveys[target], decimal)
    classes = []
    if task == "classification":
        classes = _classes(surveys[target], decimal)
    elif not surveys[target].is_numeric(decimal):
        example = min(surveys[target].texts, default="")
        raise ValueError(f"the target {target!r} is not a number in every row, for example {example!r:.80}")
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    for name, survey in surveys.items():
        if name == target:
            continue
        try:
            columns.append(_column(name, survey, decimal))
        except ValueError as error:
            left_out[name] = str(error)
    if not columns:
        reasons = "".join(f"; {name!r}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"no columns are left to learn from{reasons}")
    schema = Schema(task=task, target=target, classes=classes, decimal=decimal, columns=columns)
    return schema, left_out


def _column(name: str, survey: Survey, decimal: str) -> Column:
    if not 0 < len(name) <= 200:
        raise ValueError("its name is empty or longer than 200 characters")
    if name == PREDICTION_ID:
        raise ValueError("a column of this name makes a drop one of late labels")
    return survey.column(name, decimal)


def _task(survey: Survey, decimal: str) -> Task:
    if not survey.is_numeric(decimal):
        return "classification"
    few = min(MOST_CATEGORIES, max(FEW_VALUES, FEW_SHARE * (survey.rows - survey.empty)))
    return "regression" if survey.numbers[decimal].fractions or len(survey.texts) > few else "classification"


def _classes(survey: Survey, decimal: str) -> list[str]:
    names = _spelt_once((name for name in survey.texts if not kinds.holds_control(name)), decimal)
    if len(names) > MOST_CATEGORIES:
        raise ValueError(
            f"the target has more than {MOST_CATEGORIES} different values, such as {names[0]!r:.80}: too many classes"
        )
    if len(names) < 2:
        raise ValueError("the target has fewer than two classes")
    values = {name: number(name, decimal) for name in names}
    # Codes in the order of numbers where the names are numbers: 2 before 10.
    return sorted(names, key=lambda name: values[name] or 0) if None not in values.values() else names


def _spelt_once(names: Iterable[str], decimal: str) -> list[str]:
    """The names in order; of several spellings of one number (`1`, `1.0`, `01`) the shortest."""
    spellings: dict[Decimal | str, str] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        value = number(name, decimal)
        spellings.setdefault(name if value is None else value, name)
    return sorted(spellings.values())
