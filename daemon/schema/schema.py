"""The schema: the columns of a row, and the target.

Shared with `web`, so it needs no library except pydantic. `data/schema.json` is committed with the data.
"""

from collections import Counter
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from retraind.daemon.core.errors import BadSchema, InvalidFeatures, NotFound
from retraind.daemon.core.validation import words
from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.class_labels import Classes
from retraind.daemon.schema.column import Column, is_nothing
from retraind.daemon.schema.text_words import SLOTS

Task = Literal["classification", "regression"]

PROVENANCE = ("_drop", "_row", "_accepted_at", "_source")
"""Columns that the dataset adds to every row: sha256 of the drop, row number in it, UTC time, `file`, `http` or `label`."""

REMARKS = ("_line", "_column", "_reason")
"""Columns before a rejected row in `inbox/rejected/NAME.*.bad.csv`; a drop may have them, but they are not read."""

PREDICTION_ID = "prediction_id"
"""A drop with this column and the target has late labels."""

MOST_COLUMNS = 10_000
"""Maximum columns of a schema with its target, and of a drop: more are a mistake, and a line of millions of cells takes
long to read."""


class Schema(BaseModel):
    """Columns, target and task of one dataset; immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["retraind-schema/1"] = "retraind-schema/1"
    task: Task = "classification"
    target: str = Field(min_length=1, max_length=200)
    classes: list[str] = Field(default_factory=list)
    """Class names in the order of their codes 0, 1, …; none for regression."""
    decimal: Literal[".", ","] = "."
    """The decimal mark in drops. JSON always has a point."""
    missing_values: list[str] = Field(default_factory=list, exclude_if=is_nothing)
    """Texts that mean a missing value in every column and in the target, unless they name a category or class."""
    notation: Notation | None = Field(default=None, exclude_if=is_nothing)
    """The notation of the target's numbers, if not the plain one."""
    ignored: list[str] = Field(default_factory=list, exclude_if=is_nothing)
    """Columns that drops may have but that are not read; a column of the kind `ignore` has the same effect."""
    columns: list[Column] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _without_ignored_columns(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("columns"), list):
            return data
        ignored = [column for column in data["columns"] if isinstance(column, dict) and column.get("kind") == "ignore"]
        if not ignored:
            return data
        names = [column.get("name") for column in ignored]
        columns = [column for column in data["columns"] if column not in ignored]
        return {**data, "columns": columns, "ignored": [*data.get("ignored", []), *names]}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = Counter([*self.features, self.target, *self.ignored])
        if names.total() > MOST_COLUMNS:
            raise ValueError(f"there are {names.total()} columns with the target; at most {MOST_COLUMNS} are allowed")
        for name, count in names.items():
            if count > 1:
                raise ValueError(f"the column {name!r} is listed twice")
            if name in PROVENANCE or name in REMARKS:
                raise ValueError(f"the column name {name!r} is reserved")
        if self.task == "regression" and self.classes:
            raise ValueError("regression has no classes")
        if self.task == "classification" and len(self.classes) < 2:
            raise ValueError("classification needs at least two classes")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class is listed twice")
        for marker in [*self.missing_values, *(text for column in self.columns for text in column.missing_values)]:
            if not marker or marker != marker.strip():
                raise ValueError(
                    f"{marker!r} in missing_values is empty or has spaces around it; cells are compared without them"
                )
        for column in self.columns:
            if len(column.codes) < len(column.categories):
                raise ValueError(f"a category of {column.name!r} is listed twice")
        return self

    @cached_property
    def features(self) -> list[str]:
        """Names of the feature columns, in order."""
        return [column.name for column in self.columns]

    @cached_property
    def known(self) -> frozenset[str]:
        """Names of the feature columns, for lookups."""
        return frozenset(self.features)

    @cached_property
    def markers(self) -> dict[str, tuple[str, ...]]:
        """The texts for a missing value, by column (and target)."""
        by_column = {
            column.name: ([*self.missing_values, *column.missing_values], column.categories) for column in self.columns
        }
        by_column[self.target] = (self.missing_values, self.classes)
        return {name: tuple(text for text in texts if text not in names) for name, (texts, names) in by_column.items()}

    @cached_property
    def numeric(self) -> bool:
        """True if every column takes any number."""
        return all(column.kind == "number" for column in self.columns)

    @cached_property
    def measure(self) -> Column:
        """The target of a regression as a column of numbers, which may have missing values."""
        return Column(name=self.target, kind="number", missing=True, notation=self.notation)

    @cached_property
    def texts(self) -> list[int]:
        """The indices of the text columns."""
        return [place for place, column in enumerate(self.columns) if column.kind == "text"]

    @cached_property
    def width(self) -> int:
        """The length of a model's input row: a number for each column, then those for the words of each text."""
        return len(self.columns) + SLOTS * len(self.texts)

    @cached_property
    def class_codes(self) -> dict[str, int]:
        """Class name to its code."""
        return {name: code for code, name in enumerate(self.classes)}

    @cached_property
    def labels(self) -> Classes:
        """The classes, for finding the class that a label's text means."""
        return Classes(self.classes, self.decimal)

    @cached_property
    def shape(self) -> tuple[Any, ...]:
        """The part of the schema that a model depends on, without the reference ranges."""
        columns = ((column.name, column.kind, *column.categories) for column in self.columns)
        return self.task, self.target, *self.classes, *columns

    def answer_mark(self, delimiter: str) -> str:
        """The decimal mark of answers in a CSV file with this delimiter: a comma if the columns have one, as in 12,50 €."""
        notations = [self.notation, *(column.notation for column in self.columns)]
        commas = any(notation.decimal == "," for notation in notations if notation)
        return "," if commas and delimiter != "," else self.decimal

    def label(self, target: Any) -> str:
        """A target given in JSON, as the text of its cell: a class by name or code, or a number; raises InvalidFeatures."""
        if self.task == "regression":
            return repr(Column(name=self.target, kind="number").encode(target))
        name = None
        if isinstance(target, str):
            name = self.labels.named(target)
        elif isinstance(target, int | float) and not isinstance(target, bool):
            name = self.labels.named(repr(target).replace(".", self.decimal))
            if name is None and isinstance(target, int):
                name = self.labels.at(target)
        if name is not None:
            return name
        raise InvalidFeatures(
            f"{target!r:.80} is not a class of {self.target!r}; the classes are: {', '.join(self.classes)}.",
            field=self.target,
        )

    def dump(self) -> bytes:
        """The text of `schema.json`."""
        return orjson.dumps(self.model_dump(), option=orjson.OPT_INDENT_2) + b"\n"


def parse(text: bytes, origin: str) -> Schema:
    """A schema from JSON bytes; raises BadSchema naming `origin`, the key and the error."""
    try:
        return Schema.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(map(words.sentence, error.errors()))
        hint = "Correct the file, or move it away and make a new one with `retraind init FILE --target COL`."
        raise BadSchema(f"{origin}: {problems}.", hint=hint) from None


def load(path: Path) -> Schema | None:
    """The schema at `path`, parsed when the file has changed; None if there is none yet; raises BadSchema, OSError."""
    try:
        status = path.stat()
        return _load(path, status.st_mtime_ns, status.st_size, status.st_ino)
    except FileNotFoundError:
        return None


def require(path: Path) -> Schema:
    """The schema at `path`; raises NotFound if there is none yet."""
    schema = load(path)
    if schema is None:
        raise NotFound(f"{path} does not exist.", hint="Make it with `retraind init FILE --target COL`.")
    return schema


@lru_cache(maxsize=4)
def _load(path: Path, *_stamp: int) -> Schema:
    return parse(path.read_bytes(), str(path))
