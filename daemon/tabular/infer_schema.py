"""A draft of a schema from somebody's own CSV file: what `retraind init` writes.

Nothing is asked; what was decided is shown, and `data/schema.json` can be edited.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from daemon.core.errors import BadSchema, InvalidDrop
from daemon.schema.class_labels import number
from daemon.schema.notation import CERTAIN, Order
from daemon.schema.schema import PREDICTION_ID, REMARKS, Column, Kind, Schema, Task
from daemon.tabular import csv_table, file_content, file_layout
from daemon.tabular.column_types import holds_control
from daemon.tabular.csv_table import Header, Torn
from daemon.tabular.file_content import Content
from daemon.tabular.id_columns import Ids, called, dated
from daemon.tabular.infer_column import FREE_TEXT, MOST_CATEGORIES, Survey

FEW_VALUES = 20
"""Whole numbers in a target are classes up to so many different ones, in large files up to FEW_SHARE of the rows."""

FEW_SHARE = 0.05


SHOWN_COLUMNS = 8

SHOWN_SLIPS = 3
"""So many of a column's wrong cells are named by their lines."""


@dataclass(frozen=True)
class Finding:
    """What the file holds in one column."""

    empty: int
    missing: dict[str, int]
    """Texts that were taken for a missing value, and how often."""
    distinct: int
    """Different texts that say something; beyond MOST_CATEGORIES only that there are more."""
    example: str
    wrong: int
    slips: dict[str, int]
    """Some of the cells that are not of the column's kind, each with the 1-based line where it stands first."""


@dataclass(frozen=True)
class Draft:
    """A schema, and the columns of the file that it leaves out, each with the reason; what was found in each column."""

    schema: Schema
    left_out: dict[str, str]
    torn: int
    """Rows with too many or too few cells."""
    findings: dict[str, Finding]
    notes: dict[str, str]
    """What is unusual about a column that is kept."""
    why_task: str
    """Which task it is, and how to choose the other."""
    backslashes: bool
    """Whether quotes seem to be written as \\", which makes torn rows."""

    @property
    def texts(self) -> list[str]:
        """Columns of free text that are left out, unless they are called like ids."""
        return [name for name, why in self.left_out.items() if why.startswith(FREE_TEXT) and not called(name)]

    @property
    def unlabelled(self) -> int:
        """Rows without a label, which can't teach."""
        target = self.findings[self.schema.target]
        return target.empty + sum(target.missing.values())

    BACKSLASHES = file_layout.BACKSLASHES

    def told_missing(self) -> Iterator[str]:
        """What was taken for a missing value, how often and where; rows without a label; cells that are slips."""
        totals: Counter[str] = Counter()
        for finding in self.findings.values():
            totals.update(finding.missing)
        for text, count in totals.items():
            where = [f"{name} {one.missing[text]}" for name, one in self.findings.items() if text in one.missing]
            more = ", …" if len(where) > SHOWN_COLUMNS else ""
            yield f"{text!r} is taken for a missing value, {count} times ({', '.join(where[:SHOWN_COLUMNS])}{more})."
        if self.unlabelled:
            yield f"Rows without a label, which no model is trained on: {self.unlabelled}. Drops may have them; they are set aside."
        for name, finding in self.findings.items():
            if finding.slips:
                cells = ", ".join(f"{text!r:.40} in line {line}" for text, line in finding.slips.items())
                yield f"{name!r} has {finding.wrong} wrong cells ({cells}): such rows of a drop are bad."


@dataclass(frozen=True)
class Surveyed:
    """What a look at the whole file tells."""

    file: Content
    header: Header
    columns: dict[str, Survey]
    ids: dict[str, Ids]
    torn: list[Torn]

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        """The 1-based line of each of these rows (0-based, torn ones not counted)."""
        before = np.array([torn.record - at for at, torn in enumerate(self.torn)], np.int64)
        records = {row + int(np.searchsorted(before, row, side="right")): row for row in rows}
        return {records[record]: line for record, line, _ in csv_table.locate(self.file, self.header, records)}


Choice = Kind | Literal["ignore"]


def of(
    path: Path,
    target: str,
    task: Task | None = None,
    most: int = 1 << 40,
    order: Order | None = None,
    kinds: Mapping[str, Choice] | None = None,
) -> Draft:
    """The schema that a .csv or .csv.gz (at most `most` bytes inflated) suggests; raises BadSchema with what is in the way.

    A column is of the first of these kinds that its cells fit, but for missing ones and slips (`daemon.tabular.infer_column`): number
    (integer if all are written as such; none is written like 007), boolean (true and false), date (ISO 8601), category
    (up to MOST_CATEGORIES texts). Numbers and dates may have a notation of their own (`daemon.tabular.column_formats`); `order` says which
    of two orders the dates have.
    The numbers have a decimal comma if the delimiter is another character and more columns hold numbers like 1,5 than
    like 1.5. The task, unless given, is regression if the target is a number and has fractions or many different values:
    more than FEW_VALUES and more than FEW_SHARE of the rows, or more than MOST_CATEGORIES.
    """
    kinds, file = kinds or {}, None
    try:
        file = opened(path, most)
        if reason := file_layout.objection(file, target):
            raise BadSchema(f"{path}{reason}", hint="Mend the file and try again.")
        surveyed = _survey(file, target)
        decimal = _decimal(surveyed.columns, surveyed.header.delimiter)
        surveyed = _with_notations(surveyed, decimal, order)
    except InvalidDrop as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        hint = file_layout.BACKSLASHES if file and file_layout.has_backslashes(file) else "Mend the file and try again."
        raise BadSchema(f"{where}: {error.reason}", hint=hint) from None
    except OSError as error:
        raise BadSchema(f"{path}: {error.strerror}.", hint="Name a CSV file with a header.") from None
    surveys = surveyed.columns
    if target not in surveys:
        raise BadSchema(f"{path} has no column {target!r}.", hint=f"It has: {', '.join(surveys)}.")
    try:
        _require_known(surveys, kinds, target)
        _require_clear_dates({name: one for name, one in surveys.items() if name not in {*kinds, target}})
        schema, left_out = _decide(surveyed, target, task, decimal, kinds)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise BadSchema(f"{path}: {reason}.", hint="Change the file, or write data/schema.json by hand.") from None
    except ValueError as error:
        raise BadSchema(f"{path}: {error}.", hint="Change the file, or write data/schema.json by hand.") from None
    notes = {name: note for name in schema.features if (note := _suspicion(name, surveyed.ids[name]))}
    notes |= _times(schema)
    for name, survey in surveys.items():
        if survey.guess(decimal) is None and (orders := survey.short_dates) and name not in kinds:
            said = f"dates with years of two digits? --dates {' or '.join(orders)} reads 69 to 99 as 1969 to 1999"
            if name in left_out:
                left_out[name] += f"; {said}"
            elif name != target:
                notes[name] = said
    notes |= {schema.features[place]: "free text: read by its words" for place in schema.texts}
    backslashes = bool(surveyed.torn) and file_layout.has_backslashes(file)
    findings = _findings(surveyed, schema)
    return Draft(
        schema, left_out, len(surveyed.torn), findings, notes, _why(schema, surveys[target], task), backslashes
    )


def _require_known(surveys: Mapping[str, Survey], kinds: Mapping[str, Choice], target: str) -> None:
    for name in kinds:
        if name == target or name not in surveys:
            what = "is the target" if name == target else "is no column of the file"
            raise BadSchema(f"{name!r} {what}.", hint=f"Columns: {', '.join(surveys)[:500]}.")


def _suspicion(name: str, ids: Ids) -> str:
    """What to say of a column that is kept and may be an id."""
    if ids.order:
        return f"differs in every row: an id? --ignore {name!r} leaves it out"
    if called(name):
        return f"an id that repeats? train.group = {name!r} keeps its rows on one side of a score, --ignore {name!r} leaves it out"
    return ""


def _times(schema: Schema) -> dict[str, str]:
    """What to say of the first date that is called like the time of the row."""
    name = next((one.name for one in schema.columns if one.kind == "date" and dated(one.name)), None)
    return {} if name is None else {name: f"the time of the row? train.time = {name!r} lets the newest rows judge"}


def _why(schema: Schema, survey: Survey, task: Task | None) -> str:
    """The task, and how the other is chosen where numbers leave a doubt."""
    names = f": {', '.join(schema.classes[:10])}" + (", …" if len(schema.classes) > 10 else "")
    said = schema.task + (names if schema.classes else "")
    guess = survey.number(schema.decimal)
    if task is not None or guess is None or len(survey.texts) <= 2 or guess.fractions:
        return said
    other = "classification" if schema.task == "regression" else "regression"
    many = f"more than {MOST_CATEGORIES}" if len(survey.texts) > MOST_CATEGORIES else str(len(survey.texts))
    return f"{said} ({many} whole numbers; --task {other} for the other)"


def opened(path: Path, most: int) -> Content:
    """The bytes of a file, inflated to at most `most`; raises OSError, InvalidDrop."""
    fd = os.open(path, os.O_RDONLY)
    if file_content.is_packed(path.name):
        try:
            return file_content.take(fd, Path(gettempdir()), inflate=True, most=most)
        finally:
            os.close(fd)
    return Content("", os.fstat(fd).st_size, None, fd)  # closes it


def _survey(file: Content, target: str) -> Surveyed:
    """What each column holds; raises InvalidDrop, OSError."""
    header = csv_table.examine(file, [target])
    return _look(file, header, {name: Survey() for name in header.names if name not in REMARKS})


def _with_notations(surveyed: Surveyed, decimal: Literal[".", ","], order: Order | None) -> Surveyed:
    """The same after a second look at columns that are no plain numbers or dates, if their texts look like others."""
    found = {name: survey.notations(decimal, order) for name, survey in surveyed.columns.items()}
    tried = {name: notations for name, notations in found.items() if notations}
    if not tried:
        return surveyed
    again = _look(surveyed.file, surveyed.header, {name: Survey.trying(found) for name, found in tried.items()})
    return replace(surveyed, columns=surveyed.columns | again.columns)


def _require_clear_dates(surveys: Mapping[str, Survey]) -> None:
    """Raise BadSchema for dates that can be read in two ways: they must not be guessed."""
    unclear = [name for name, survey in surveys.items() if len(survey.orders) > 1]
    if unclear:
        example = surveys[unclear[0]].example
        raise BadSchema(
            f"The dates in {', '.join(map(repr, unclear))} can be read in two ways: in {example!r:.40} the day may come "
            "first, or the month, and no other date tells.",
            hint="Say it by --dates day/month/year or --dates month/day/year.",
        )


def _look(file: Content, header: Header, surveys: dict[str, Survey]) -> Surveyed:
    torn: list[Torn] = []
    ids = {name: Ids() for name in surveys}
    for chunk in csv_table.chunks(file, header):
        torn += chunk.torn
        for name, survey in surveys.items():
            texts = pa.concat_arrays(chunk.table[name].chunks) if len(chunk.records) else pa.array([], pa.string())
            survey.add(texts)
            ids[name].add(texts)
    if torn and not any(survey.rows for survey in surveys.values()):
        _, line, _ = next(csv_table.locate(file, header, [torn[0].record]))
        raise InvalidDrop(torn[0].reason, line=line)
    return Surveyed(file, header, surveys, ids, torn)


def _findings(surveyed: Surveyed, schema: Schema) -> dict[str, Finding]:
    """What there is to say of each column, in the order of the file."""
    guesses = {name: survey.guess(schema.decimal) for name, survey in surveyed.columns.items()}
    if schema.classes and not all(number(text, schema.decimal) is not None for text in schema.classes):
        guesses[schema.target] = None
    slips = {
        name: dict(list(guess.slips.items())[:SHOWN_SLIPS]) if guess and guess.wrong else {}
        for name, guess in guesses.items()
    }
    lines = surveyed.lines({row for found in slips.values() for row in found.values()})
    return {
        name: Finding(
            empty=survey.empty,
            missing=_missing(survey, schema, name),
            distinct=len(survey.texts),
            example=survey.example,
            wrong=guess.wrong if (guess := guesses[name]) else 0,
            slips={text: lines[row] for text, row in slips[name].items()},
        )
        for name, survey in surveyed.columns.items()
    }


def _missing(survey: Survey, schema: Schema, name: str) -> dict[str, int]:
    """Texts that stand for a missing value in a column of the schema, and how often each does."""
    return {text: count for text, count in survey.markers.items() if text in schema.markers.get(name, ())}


def _decimal(surveys: Mapping[str, Survey], delimiter: str) -> Literal[".", ","]:
    points, commas = (
        sum(survey.numbers[mark].fits and survey.numbers[mark].marked for survey in surveys.values())
        for mark in (".", ",")
    )
    return "," if delimiter != "," and commas > points else "."


def _decide(
    surveyed: Surveyed, target: str, task: Task | None, decimal: Literal[".", ","], kinds: Mapping[str, Choice]
) -> tuple[Schema, dict[str, str]]:
    """Schema and left-out columns; raises ValueError."""
    surveys = surveyed.columns
    task = task or _task(surveys[target], decimal)
    classes: list[str] = []
    unlabelled = surveys[target].missing(decimal)
    if task == "classification":
        classes, unlabelled = _classes(surveys[target], decimal)
    elif surveys[target].number(decimal) is None:
        example = next(iter(surveys[target].numbers[decimal].slips), "")
        raise ValueError(f"the target {target!r} is not a number in every row, for example {example!r:.80}")
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    for name, survey in surveys.items():
        if name == target:
            continue
        try:
            columns.append(_column(name, survey, decimal, kinds.get(name), surveyed.ids[name]))
        except ValueError as error:
            left_out[name] = str(error)
    if not columns:  # then the words are all there is to learn from
        texts = [name for name, why in left_out.items() if why.startswith(FREE_TEXT) and not called(name)]
        columns = [surveys[name].as_kind(name, "text") for name in texts]
        left_out = {name: why for name, why in left_out.items() if name not in texts}
    if not columns:
        reasons = "".join(f"; {name!r}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"no columns are left to learn from{reasons}")
    # What is written for nothing else holds for the file; a dash, say, only where it was seen.
    everywhere = {text for column in columns for text in column.missing_values if text in CERTAIN} | unlabelled.keys()
    columns = [_with_markers(column, set(column.missing_values) - everywhere) for column in columns]
    number = surveys[target].number(decimal) if task == "regression" else None
    schema = Schema(
        task=task,
        target=target,
        classes=classes,
        decimal=decimal,
        missing_values=sorted(everywhere),
        notation=number.column.notation if number else None,
        ignored=[name for name in left_out if name != PREDICTION_ID],
        columns=columns,
    )
    return schema, left_out


def _with_markers(column: Column, markers: Iterable[str]) -> Column:
    return column.model_copy(update={"missing_values": sorted(markers)})


def _column(name: str, survey: Survey, decimal: str, kind: Choice | None, ids: Ids) -> Column:
    if not 0 < len(name) <= 200:
        raise ValueError("its name is empty or longer than 200 characters")
    if name == PREDICTION_ID:
        raise ValueError("a column of this name makes a drop one of late labels")
    if kind == "ignore":
        raise ValueError("as you said")
    if kind is not None:
        return survey.as_kind(name, kind)
    if ids.order and called(name):
        raise ValueError("a row number" if ids.order == "running" else "an id: whole numbers that differ in every row")
    return survey.column(name, decimal)


def _task(survey: Survey, decimal: str) -> Task:
    guess = survey.number(decimal)
    if guess is None:
        return "classification"
    few = min(MOST_CATEGORIES, max(FEW_VALUES, FEW_SHARE * survey.filled))
    values = len(survey.texts - guess.slips.keys())
    return "regression" if guess.fractions or values > few else "classification"


def _classes(survey: Survey, decimal: str) -> tuple[list[str], dict[str, int]]:
    """The classes in the order of their codes, and the texts that stand for a missing label with how often they do."""
    labels, missing = survey.labels(decimal)
    names = _spelt_once((name for name in labels if not holds_control(name)), decimal)
    if len(names) < 2:  # then they are what there is to tell apart
        names, missing = _spelt_once([*names, *missing], decimal), {}
    if len(names) > MOST_CATEGORIES:
        raise ValueError(
            f"the target has more than {MOST_CATEGORIES} different values, such as {names[0]!r:.80}: too many classes"
        )
    if len(names) < 2:
        raise ValueError("the target has fewer than two classes")
    values = {name: number(name, decimal) for name in names}
    # Codes in the order of numbers where the names are numbers: 2 before 10.
    in_order = sorted(names, key=lambda name: values[name] or 0) if None not in values.values() else names
    return in_order, missing


def _spelt_once(names: Iterable[str], decimal: str) -> list[str]:
    """The names in order; of several spellings of one number (`1`, `1.0`, `01`) the shortest."""
    spellings: dict[Decimal | str, str] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        value = number(name, decimal)
        spellings.setdefault(name if value is None else value, name)
    return sorted(spellings.values())
