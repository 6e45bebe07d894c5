"""The form of a list: a field for each filter, filled with the query, and the links of its page."""

from collections.abc import Iterable
from typing import TypedDict

from retraind.web.lists.listing import PLACE, List
from retraind.web.lists.parameters import Kind, Parameter, Values

LABELS = {
    "id": "Id",
    "name": "Name contains",
    "state": "State",
    "source": "Came",
    "rows": "Rows",
    "version": "Version",
    "from": "From (UTC)",
    "to": "To (UTC)",
    "kind": "Kind",
    "group": "Group",
    "level": "Level",
    "text": "Message contains",
    "drop": "Drop (sha256)",
    "run": "Training",
    "class": "Class",
    "confidence_from": "Confidence from",
    "confidence_to": "Confidence to",
    "prediction_from": "Prediction from",
    "prediction_to": "Prediction to",
    "label": "Late label",
    "caller": "Token",
    "search": "Search",
    "show": "Show",
}

WORDS = {
    "bad": "rejected or bad ones",
    "file": "as a file",
    "http": "by HTTP",
    "problems": "warnings and errors",
    "open": "not acknowledged",
    "set": "set, not the default",
    "changed": "changed by a restart",
}
"""Words for choices that do not explain themselves."""

LEFT_OUT = {parameter.name for parameter in PLACE} | {"below", "above", "order"}


class Choice(TypedDict):
    """An entry of a list to choose from."""

    value: str
    text: str


class Field(TypedDict):
    """A field of the form."""

    name: str
    label: str
    hint: str
    kind: str
    value: str
    choices: list[Choice]


class Links(TypedDict):
    """The addresses around a page; older and newer keep its path."""

    older: str | None
    newer: str | None
    csv: str
    json: str


def fields(parameters: Iterable[Parameter], values: Values) -> list[Field]:
    """The fields of the filters."""
    return [_field(item, values) for item in parameters if item.name not in LEFT_OUT]


def is_filtered(values: Values) -> bool:
    """Whether a query filters entries, or chooses another page than the first."""
    return bool(values.texts.keys() - {"limit", "format", "order"})


def links(entries: List, **more: str) -> Links:
    """The links of a page; `more` are parameters of the list for programs that the page takes for granted."""
    path = entries.path.lstrip("/")
    first = dict.fromkeys(("limit", entries.below, entries.above))
    return {
        "older": entries.older(""),
        "newer": entries.newer(""),
        "csv": entries.values.address(path, **more, **first, format="csv"),
        "json": entries.values.address(path, **more, **first),
    }


def _field(parameter: Parameter, values: Values) -> Field:
    name = parameter.name
    value = values.text(name)
    if parameter.kind is Kind.TIME and value:
        value = (values.time(name, end=name == "to") or "")[:19]  # as the browser's field writes a time
    choices: list[Choice] = [{"value": item, "text": WORDS.get(item, item)} for item in parameter.choices]
    return {
        "name": name,
        "label": LABELS[name],
        "hint": parameter.meaning.replace("`", ""),
        "kind": "choice" if choices else parameter.kind.name.lower(),
        "value": value,
        "choices": choices,
    }
