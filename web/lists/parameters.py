"""Parameters of a list in a query string: one description for the reader, the form and the OpenAPI document.

A wrong, unknown or repeated parameter is refused: a filter that is silently ignored would show rows that do not fit.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlencode

from retraind.daemon.core.requests import LARGEST
from retraind.web.http.problems import Problem

Query = Mapping[str, str]

WRONG = 400
"""Status of the answer to a wrong query."""

LONGEST = 300
"""Maximum characters of a text."""

DAY = len("2026-11-30")

TIME = re.compile(r"^([0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}.*)?)?$")
"""The form of a time, as far as a pattern can say it; an empty one counts as absent."""


class Kind(StrEnum):
    """What a parameter's text must be."""

    TEXT = "text"
    WHOLE = "whole number"
    REAL = "number"
    TIME = "time"
    """A day, or a time in UTC: `2026-11-30`, `2026-11-30T14:05`. ISO 8601 with an offset is another time zone."""


class Parameter(NamedTuple):
    """One parameter; an empty text is the same as none, because forms send every field."""

    name: str
    meaning: str
    kind: Kind = Kind.TEXT
    choices: Sequence[str] = ()
    low: float = 0
    high: float = LARGEST


@runtime_checkable
class Repeatable(Protocol):
    """Bottle's dict of a query string: it keeps repeated parameters, and bytes as Latin-1."""

    def __iter__(self) -> Iterator[str]:
        """The names."""

    def getall(self, name: str) -> Sequence[str]:
        """All values of a parameter."""

    def decode(self) -> Query:
        """The texts as UTF-8."""


class Values:
    """The checked values of a query."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def text(self, name: str) -> str:
        """The text; empty without one."""
        return self.texts.get(name, "")

    def whole(self, name: str) -> int | None:
        """The number; None without one."""
        return int(self.texts[name]) if name in self.texts else None

    def real(self, name: str) -> float | None:
        """The number; None without one."""
        return float(self.texts[name]) if name in self.texts else None

    def time(self, name: str, *, end: bool = False) -> str | None:
        """The time in UTC as the records write it; None without one. With `end`, a day means its end."""
        return _time(self.texts[name], end=end) if name in self.texts else None

    def address(self, path: str, **changes: object) -> str:
        """`path` with these parameters and changes; None removes a parameter."""
        merged = {**self.texts, **changes}
        query = urlencode({name: value for name, value in merged.items() if value is not None})
        return f"{path}?{query}" if query else path


def parsed(text: str) -> Query:
    """The parameters of a query string; raises Problem 400 for bytes that are not UTF-8, and for a repeated parameter."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise _not_utf8() from None
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise _repeated(name)
    return dict(pairs)


def read(query: Query, parameters: Iterable[Parameter]) -> Values:
    """The values of a query string; raises Problem 400 with a sentence on the first wrong parameter."""
    known = {parameter.name: parameter for parameter in parameters}
    texts = {}
    for name, text in _decoded(query).items():
        if name not in known:
            raise Problem(WRONG, f"There is no parameter {name!r:.60}.", hint=f"Known ones: {', '.join(known)}.")
        if text:
            texts[name] = _checked(known[name], text)
    return Values(texts)


def schema(parameter: Parameter) -> dict[str, object]:
    """The JSON schema of a parameter's text."""
    if parameter.choices:
        return {"type": "string", "enum": [*parameter.choices, ""]}
    match parameter.kind:
        case Kind.WHOLE:
            return _or_empty({"type": "integer", "minimum": int(parameter.low), "maximum": int(parameter.high)})
        case Kind.REAL:
            ends = {"minimum": parameter.low, "maximum": parameter.high}
            return _or_empty({"type": "number", **{name: end for name, end in ends.items() if math.isfinite(end)}})
        case Kind.TIME:
            return {"type": "string", "pattern": TIME.pattern}
        case _:
            return {"type": "string", "maxLength": LONGEST, "pattern": "^[^\\x00]*$"}


def _or_empty(number: dict[str, object]) -> dict[str, object]:
    """The schema of a number's text: a form sends an empty one for a field that is not filled in."""
    return {"anyOf": [number, {"type": "string", "maxLength": 0}]}


def _decoded(query: Query) -> Query:
    """The texts as UTF-8; raises Problem 400 for other bytes, and for a parameter that is given twice."""
    if not isinstance(query, Repeatable):
        return query
    for name in query:
        if len(query.getall(name)) > 1:
            raise _repeated(name)
    try:
        return query.decode()
    except UnicodeError:
        raise _not_utf8() from None


def _repeated(name: str) -> Problem:
    return Problem(WRONG, f"The parameter {name!r:.60} is given twice.", hint="Give each parameter once.")


def _not_utf8() -> Problem:
    return Problem(WRONG, "The query is not UTF-8.", hint="Percent-encode the bytes of UTF-8.")


def _checked(parameter: Parameter, text: str) -> str:
    objection = _objection(parameter, text)
    if objection:
        errors = [{"field": parameter.name, "detail": objection}]
        raise Problem(WRONG, f"{parameter.name!r} must be {objection}, not {text!r:.60}.", errors=errors)  # type: ignore[arg-type]
    return text


def _objection(parameter: Parameter, text: str) -> str:
    """What the text must be, if it is not; otherwise empty."""
    if parameter.choices:
        return "" if text in parameter.choices else f"one of {', '.join(parameter.choices)}"
    match parameter.kind:
        case Kind.WHOLE:
            fits = text.isascii() and text.isdecimal() and len(text) < 20
            fits = fits and parameter.low <= int(text) <= parameter.high
            return "" if fits else f"a whole number from {parameter.low:.0f} to {parameter.high:.0f}"
        case Kind.REAL:
            return "" if _is_real(text, parameter) else f"a number{_range(parameter)}"
        case Kind.TIME:
            form = "a day or a time in UTC, such as 2026-11-30 or 2026-11-30T14:05"
            return "" if _time(text, end=False) else form
        case _:
            return "" if len(text) <= LONGEST and "\0" not in text else f"a text of at most {LONGEST} characters"


def _is_real(text: str, parameter: Parameter) -> bool:
    try:
        return parameter.low <= float(text) <= parameter.high
    except ValueError:
        return False


def _range(parameter: Parameter) -> str:
    limited = parameter.high < float("inf")
    return f" from {parameter.low:g} to {parameter.high:g}" if limited else ""


def _time(text: str, *, end: bool) -> str | None:
    """A time as the records write it: UTC with milliseconds; None if the text is no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    try:
        moment = moment + timedelta(days=1) if end and len(text) <= DAY else moment
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return None
