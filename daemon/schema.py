"""The schema: which columns a row has, what the target is, and how one row becomes numbers.

Level 1, shared with `web`, so it needs nothing but pydantic. `data/schema.json` is committed with the data.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from daemon.errors import BadSchema, InvalidFeatures

PROVENANCE = ("_drop", "_row", "_accepted_at", "_source")
"""Columns that the dataset adds to every row: sha256 of the drop, row number in it, UTC time, `file` or `http`."""

UNKNOWN = -1.0
"""The code of a missing category, and of one the schema does not list."""


class Column(BaseModel):
    """One feature. `minimum` and `maximum` are what was seen at `init`: a reference for people, not a law."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    kind: Literal["number", "category"]
    missing: bool = False
    """Whether an empty cell (CSV) or null (JSON) is allowed."""
    categories: list[str] = Field(default_factory=list)
    minimum: float | None = None
    maximum: float | None = None

    @cached_property
    def codes(self) -> dict[str, float]:
        """Category to its code: 0.0, 1.0 and so on."""
        return {name: float(code) for code, name in enumerate(self.categories)}

    def encode(self, value: Any) -> float:
        """One JSON value as a number (NaN: missing); raises InvalidFeatures."""
        if value is None:
            if self.missing:
                return math.nan if self.kind == "number" else UNKNOWN
            raise InvalidFeatures(f"{self.name!r} must not be null.", field=self.name)
        if self.kind == "category":
            if not isinstance(value, str):
                raise InvalidFeatures(f"{self.name!r} is a category: give a string.", field=self.name)
            return self.codes.get(value, UNKNOWN)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidFeatures(f"{self.name!r} is a number, not {type(value).__name__}.", field=self.name)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InvalidFeatures(f"{self.name!r} must be a finite number.", field=self.name)
        return number


class Schema(BaseModel):
    """Columns, target and classes of one dataset; immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["retraind-schema/1"] = "retraind-schema/1"
    target: str = Field(min_length=1, max_length=200)
    classes: list[str] = Field(min_length=2)
    """Class names in the order of their codes 0, 1, …"""
    columns: list[Column] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [*self.features, self.target]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the column {name!r} is listed twice")
            if name in PROVENANCE:
                raise ValueError(f"the column name {name!r} is reserved for the provenance of rows")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class is listed twice")
        return self

    @cached_property
    def features(self) -> list[str]:
        """Names of the feature columns, in order."""
        return [column.name for column in self.columns]

    @cached_property
    def class_codes(self) -> dict[str, int]:
        """Class name to its code."""
        return {name: code for code, name in enumerate(self.classes)}

    @cached_property
    def shape(self) -> tuple[Any, ...]:
        """What a model depends on; the reference ranges are not part of it."""
        return self.target, *self.classes, *((one.name, one.kind, *one.categories) for one in self.columns)

    def encode(self, features: Any) -> list[float]:
        """One row of JSON features, as a list in column order or an object by name; raises InvalidFeatures."""
        if isinstance(features, Mapping):
            return self._encode_named(features)
        if not isinstance(features, Sequence) or isinstance(features, str | bytes):
            raise InvalidFeatures("'features' must be a list of values or an object of column: value.")
        if len(features) != len(self.columns):
            raise InvalidFeatures(
                f"'features' has {len(features)} values; the model takes {len(self.columns)}: {', '.join(self.features)}."
            )
        return [column.encode(value) for column, value in zip(self.columns, features, strict=True)]

    def _encode_named(self, features: Mapping[str, Any]) -> list[float]:
        for name in features:
            if name not in self.features:
                raise InvalidFeatures(
                    f"There is no column {name!r}; the model takes: {', '.join(self.features)}.", field=name
                )
        for column in self.columns:
            if column.name not in features and not column.missing:
                raise InvalidFeatures(f"The column {column.name!r} is missing.", field=column.name)
        return [column.encode(features.get(column.name)) for column in self.columns]

    def label(self, target: Any) -> str:
        """A class given by name or by code, as its name; raises InvalidFeatures."""
        if isinstance(target, str) and target in self.class_codes:
            return target
        if isinstance(target, int) and not isinstance(target, bool):
            if str(target) in self.class_codes:
                return str(target)
            if 0 <= target < len(self.classes):
                return self.classes[target]
        raise InvalidFeatures(
            f"{target!r:.80} is no class of {self.target!r}; the classes are: {', '.join(self.classes)}.",
            field=self.target,
        )

    def dump(self) -> bytes:
        """The text of `schema.json`."""
        return orjson.dumps(self.model_dump(), option=orjson.OPT_INDENT_2) + b"\n"


def parse(text: bytes, origin: str) -> Schema:
    """A schema from JSON bytes; raises BadSchema naming `origin`, the key and what is wrong with it."""
    try:
        return Schema.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise BadSchema(f"{origin}: {problems}.", hint="Mend the file or make it anew with `retraind init`.") from None


def load(path: Path) -> Schema | None:
    """The schema at `path`; None if there is none yet; raises BadSchema."""
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
