"""A first schema from a CSV file: the columns, kinds and task that `retraind init` writes.

It asks no questions. `init` shows each decision, and `data/schema.json` can be edited.
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from pydantic import ValidationError

from retraind.daemon.core.errors import BadSchema
from retraind.daemon.core.validation import words
from retraind.daemon.schema.cell_notation import CERTAIN, Order
from retraind.daemon.schema.class_labels import number
from retraind.daemon.schema.column import MOST_CATEGORIES, Column
from retraind.daemon.schema.schema import PREDICTION_ID, Schema, Task
from retraind.daemon.tabular import csv_layout, csv_profile
from retraind.daemon.tabular.column_types import holds_control
from retraind.daemon.tabular.csv_profile import Choice, CsvProfile, Wishes
from retraind.daemon.tabular.id_columns import Ids, called, dated
from retraind.daemon.tabular.infer_column import FREE_TEXT, ColumnProfile
from retraind.daemon.tabular.kinds import mixed
from retraind.daemon.tabular.kinds.guess import Guess
from retraind.daemon.tabular.schema_draft import Draft, Finding

FEW_VALUES = 20
"""Integers in a target are classes up to this many different values, or up to FEW_SHARE of the rows in large files."""

FEW_SHARE = 0.05

SHOWN_SLIPS = 3
"""Maximum number of wrong cells of a column that are listed with their lines."""


def of(
    path: Path,
    target: str,
    task: Task | None = None,
    most: int = 1 << 40,
    order: Order | None = None,
    kinds: Mapping[str, Choice] | None = None,
    missing: Collection[str] = (),
) -> Draft:
    """The draft for a .csv or .csv.gz (at most `most` bytes inflated); raises BadSchema with the reason.

    A column gets the first of these kinds that fits its cells, apart from missing ones and typing errors
    (`retraind.daemon.tabular.infer_column`): number (integer if all are written as such; none is written like 007), boolean
    (true and false), date (ISO 8601), category (up to MOST_CATEGORIES texts). Numbers and dates may have their own
    notation (`retraind.daemon.tabular.column_formats`); `order` decides between two possible date orders. The task, unless
    given, is regression if the target is a number with fractions or many different values: more than FEW_VALUES and
    more than FEW_SHARE of the rows, or more than MOST_CATEGORIES. The texts `missing` mean a missing value.
    """
    kinds = kinds or {}
    profile = csv_profile.of(path, target, most, Wishes(kinds, missing, order))
    _require_columns(profile.columns, kinds, target)
    free = {name for name in profile.columns if name != target and kinds.get(name, "date") == "date"}
    _require_clear_dates({name: profile.columns[name] for name in free})
    try:
        schema, left_out = _decide(profile, target, task, kinds, missing)
    except ValidationError as error:
        reason = words.clause(error.errors()[0])
        raise BadSchema(f"{path}: {reason}.", hint="Change the file, or write data/schema.json by hand.") from None
    except ValueError as error:
        raise BadSchema(f"{path}: {error}.", hint="Change the file, or write data/schema.json by hand.") from None
    short = _short_dates(profile, kinds)
    return Draft(
        schema,
        {name: f"{why}; {short[name]}" if name in short else why for name, why in left_out.items()},
        len(profile.torn),
        _findings(profile, schema),
        _notes(schema, profile, short),
        _why(schema, profile.columns[target], task),
        mixed=mixed.sentences(profile, schema),
        backslashes=bool(profile.torn) and csv_layout.has_backslashes(profile.file),
    )


def _require_columns(profiles: Mapping[str, ColumnProfile], kinds: Mapping[str, Choice], target: str) -> None:
    for name in kinds:
        if name == target or name not in profiles:
            reason = "is the target" if name == target else "is not a column of the file"
            raise BadSchema(f"{name!r} {reason}.", hint=f"Columns: {', '.join(profiles)[:500]}.")


def _require_clear_dates(profiles: Mapping[str, ColumnProfile]) -> None:
    """Raise BadSchema for ambiguous dates, because their order must not be guessed."""
    unclear = [name for name, profile in profiles.items() if len(profile.orders) > 1]
    if unclear:
        example = profiles[unclear[0]].example
        raise BadSchema(
            f"The dates in {', '.join(map(repr, unclear))} can be read in two ways: in {example!r:.40} the day or the "
            "month may come first, and no other date decides it.",
            hint="Add --dates day/month/year or --dates month/day/year.",
        )


def _short_dates(profile: CsvProfile, kinds: Mapping[str, Choice]) -> dict[str, str]:
    """A note for each column that may hold dates with two-digit years."""
    return {
        name: f"dates with two-digit years? --dates {' or '.join(orders)} reads 69 to 99 as 1969 to 1999"
        for name, column in profile.columns.items()
        if column.guess(profile.decimal) is None
        and not column.chosen
        and (orders := column.short_dates)
        and name not in kinds
    }


def _notes(schema: Schema, profile: CsvProfile, short_dates: Mapping[str, str]) -> dict[str, str]:
    """Remarks on columns that are kept."""
    notes = {name: note for name in schema.features if (note := _suspicion(name, profile.ids[name]))}
    notes |= _times(schema)
    notes |= {name: note for name, note in short_dates.items() if name in schema.features}
    return notes | {schema.features[place]: "free text: read by its words" for place in schema.texts}


def _suspicion(name: str, ids: Ids) -> str:
    """The note on a kept column that may be an id."""
    if ids.order:
        return f"differs in every row: an id? --ignore {name!r} leaves it out"
    if called(name):
        return f"an id that repeats? train.group = {name!r} keeps its rows on one side of a score, --ignore {name!r} leaves it out"
    return ""


def _times(schema: Schema) -> dict[str, str]:
    """The note on the first date column that is named like a row's time."""
    name = next((one.name for one in schema.columns if one.kind == "date" and dated(one.name)), None)
    return {} if name is None else {name: f"the time of the row? train.time = {name!r} holds out the newest rows"}


def _why(schema: Schema, profile: ColumnProfile, task: Task | None) -> str:
    """The task, and the option for the other task if numbers leave a doubt."""
    names = f": {', '.join(schema.classes[:10])}" + (", …" if len(schema.classes) > 10 else "")
    task_and_classes = schema.task + (names if schema.classes else "")
    guess = profile.number(schema.decimal)
    if task is not None or guess is None or len(profile.texts) <= 2 or guess.fractions:
        return task_and_classes
    other = "classification" if schema.task == "regression" else "regression"
    many = f"more than {MOST_CATEGORIES}" if len(profile.texts) > MOST_CATEGORIES else str(len(profile.texts))
    return f"{task_and_classes} ({many} whole numbers; --task {other} for the other)"


def _findings(profile: CsvProfile, schema: Schema) -> dict[str, Finding]:
    """A finding for each column, in the order of the file."""
    guesses = {name: column.best or column.guess(schema.decimal) for name, column in profile.columns.items()}
    if schema.classes and not all(number(text, schema.decimal) is not None for text in schema.classes):
        guesses[schema.target] = None
    slips = {
        name: dict(list(guess.slips.items())[:SHOWN_SLIPS]) if guess and guess.wrong else {}
        for name, guess in guesses.items()
    }
    lines = profile.lines({row for cells in slips.values() for row in cells.values()})
    return {
        name: Finding(
            empty=column.empty,
            missing=_missing(column, schema, name),
            distinct=len(column.texts),
            example=column.example,
            wrong=guess.wrong if (guess := guesses[name]) else 0,
            fitting=guess.right if guess else 0,
            slips={text: lines[row] for text, row in slips[name].items()},
        )
        for name, column in profile.columns.items()
    }


def _missing(profile: ColumnProfile, schema: Schema, name: str) -> dict[str, int]:
    """The texts that mean a missing value in a column of the schema, each with its count."""
    return {text: count for text, count in profile.markers.items() if text in schema.markers.get(name, ())}


def _decide(
    profile: CsvProfile, target: str, task: Task | None, kinds: Mapping[str, Choice], missing: Collection[str]
) -> tuple[Schema, dict[str, str]]:
    """The schema, and the columns left out, each with the reason; raises ValueError."""
    answers, decimal = profile.columns[target], profile.decimal
    task = task or _task(answers, decimal)
    classes, unlabelled = _classes(answers, decimal) if task == "classification" else ([], answers.missing(decimal))
    numbers = _numbers(answers, target, decimal) if task == "regression" else None
    columns, left_out = _features(profile, target, kinds)
    # A text that always means a missing value applies to the whole file; a dash, say, only to the columns that have it.
    everywhere = {text for column in columns for text in column.missing_values if text in CERTAIN}
    everywhere |= {*unlabelled, *missing}
    schema = Schema(
        task=task,
        target=target,
        classes=classes,
        decimal=decimal,
        missing_values=sorted(everywhere),
        notation=numbers.column.notation if numbers else None,
        ignored=[name for name in left_out if name != PREDICTION_ID],
        columns=[_with_markers(column, set(column.missing_values) - everywhere) for column in columns],
    )
    return schema, left_out


def _numbers(answers: ColumnProfile, target: str, decimal: str) -> Guess:
    """The target of a regression; raises ValueError if it is not a number in every row."""
    guess = answers.number(decimal)
    if guess is None:
        example = next(iter(answers.numbers[decimal].slips), "")
        raise ValueError(f"the target {target!r} is not a number in every row, for example {example!r:.80}")
    return guess


def _features(profile: CsvProfile, target: str, kinds: Mapping[str, Choice]) -> tuple[list[Column], dict[str, str]]:
    """The feature columns, and those left out; free text is a feature only if there is nothing else. Raises ValueError."""
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    for name, column in profile.columns.items():
        if name == target:
            continue
        try:
            columns.append(_column(name, column, profile.decimal, kinds.get(name), profile.ids[name]))
        except ValueError as error:
            left_out[name] = str(error)
    if not columns:
        texts = [name for name, why in left_out.items() if why.startswith(FREE_TEXT) and not called(name)]
        columns = [profile.columns[name].as_kind(name, "text") for name in texts]
        left_out = {name: why for name, why in left_out.items() if name not in texts}
    if not columns:
        reasons = "".join(f"; {name!r}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"no columns are left to train on{reasons}")
    return columns, left_out


def _with_markers(column: Column, markers: Iterable[str]) -> Column:
    return column.model_copy(update={"missing_values": sorted(markers)})


def _column(name: str, profile: ColumnProfile, decimal: str, kind: Choice | None, ids: Ids) -> Column:
    if not 0 < len(name) <= 200:
        raise ValueError("its name is empty or longer than 200 characters")
    if name == PREDICTION_ID:
        raise ValueError("a drop with a column of this name holds late labels")
    if kind == "ignore":
        raise ValueError("as you said")
    if kind is not None:
        return profile.as_kind(name, kind)
    if ids.order and called(name):
        raise ValueError("a row number" if ids.order == "running" else "an id: whole numbers that differ in every row")
    return profile.column(name, decimal)


def _task(profile: ColumnProfile, decimal: str) -> Task:
    guess = profile.number(decimal)
    if guess is None:
        return "classification"
    few = min(MOST_CATEGORIES, max(FEW_VALUES, FEW_SHARE * profile.filled))
    values = len(profile.texts - guess.slips.keys())
    return "regression" if guess.fractions or values > few else "classification"


def _classes(profile: ColumnProfile, decimal: str) -> tuple[list[str], dict[str, int]]:
    """The classes in the order of their codes, and the texts for a missing label, with counts."""
    labels, missing = profile.labels(decimal)
    names = _spelt_once((name for name in labels if not holds_control(name)), decimal)
    if len(names) < 2:  # then the markers are classes
        names, missing = _spelt_once([*names, *missing], decimal), {}
    if len(names) > MOST_CATEGORIES:
        raise ValueError(
            f"the target has more than {MOST_CATEGORIES} different values, such as {names[0]!r:.80}: too many classes"
        )
    if len(names) < 2:
        raise ValueError("the target has fewer than two classes")
    values = {name: number(name, decimal) for name in names}
    # If the names are numbers, codes follow their order: 2 before 10.
    in_order = sorted(names, key=lambda name: values[name] or 0) if None not in values.values() else names
    return in_order, missing


def _spelt_once(names: Iterable[str], decimal: str) -> list[str]:
    """The names in order, with only the shortest of several spellings of one number (`1`, `1.0`, `01`)."""
    spellings: dict[Decimal | str, str] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        value = number(name, decimal)
        spellings.setdefault(name if value is None else value, name)
    return sorted(spellings.values())
