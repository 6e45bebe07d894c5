"""The fault of a value in one clause of our own, because pydantic's words are made for programmers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

CLAUSES = {
    "int_parsing": "it must be a whole number",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "int_parsing_size": "it has too many digits",
    "float_parsing": "it must be a number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
    "string_type": "it must be a text in quotes",
    "string_unicode": "it must be a text in UTF-8",
    "string_too_short": "it must have at least {min_length} characters",
    "string_too_long": "it must have at most {max_length} characters",
    "string_pattern_mismatch": "it must match {pattern}",
    "list_type": "it must be a list",
    "tuple_type": "it must be a list",
    "set_type": "it must be a list",
    "dict_type": "it must be a table",
    "mapping_type": "it must be a table",
    "model_type": "it must be a table of settings",
    "model_attributes_type": "it must be a table of settings",
    "is_instance_of": "it must be {class}",
    "too_short": "it must have at least {min_length} {entries}",
    "too_long": "it must have at most {max_length} entries",
    "literal_error": "it must be {expected}",
    "enum": "it must be {expected}",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "missing": "it is missing",
    "extra_forbidden": "there is no such key",
    "value_error": "{error}",
    "assertion_error": "{error}",
    "json_invalid": "it is not valid JSON ({error})",
    "date_from_datetime_parsing": "it must be a date such as 2026-01-31",
    "datetime_parsing": "it must be a time such as 2026-01-31T12:00:00Z",
    "timezone_aware": "it must be a time with its zone, such as 2026-01-31T12:00:00Z",
}
"""pydantic's kinds of error, and a clause for each; names in braces come from the error's context."""


def clause(problem: "ErrorDetails") -> str:
    """The fault of one value, without its name and without a full stop: `it must be at most 65535`."""
    context: dict[str, Any] = dict(problem.get("ctx") or {})
    context["entries"] = "entry" if context.get("min_length") == 1 else "entries"
    return CLAUSES.get(problem["type"], "it is not valid").format_map(_Shown(context))


def place(problem: "ErrorDetails") -> str:
    """The key of the value, with dots: `server.port`; empty for the document as a whole."""
    return ".".join(map(str, problem["loc"]))


def sentence(problem: "ErrorDetails") -> str:
    """Key and fault: `columns.0.kind: it must be 'number' or 'text'`."""
    key = place(problem)
    return f"{key}: {clause(problem)}" if key else clause(problem)


class _Shown(dict[str, Any]):
    """The context of an error; a name that it lacks stays as it is, instead of hiding the whole error."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"
