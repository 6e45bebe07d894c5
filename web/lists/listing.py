"""What all lists have in common: the parameters of a page, the links to its neighbours, and the answers as JSON and CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retraind.daemon.records.search.pages import Page, Range
from retraind.web.http.problems import Problem
from retraind.web.http.reply import Reply, json_object
from retraind.web.lists import csv_text
from retraind.web.lists.parameters import WRONG, Kind, Parameter, Values

SHOWN = 50
"""Number of entries on a page for people."""

LIMIT = Parameter("limit", "Maximum number of entries: up to 1000, in CSV up to 10000.", Kind.WHOLE, low=1)
BEFORE = Parameter("before", "Only entries with a smaller id: for the next page, the last id of this one.", Kind.WHOLE)
AFTER = Parameter("after", "Only entries with a larger id: for the page before.", Kind.WHOLE)
SINCE = Parameter("from", "Only entries of this time (UTC) and later.", Kind.TIME)
UNTIL = Parameter("to", "Only entries before this time (UTC); a day includes its entries.", Kind.TIME)
FORMAT = Parameter("format", "`csv`: a file for a spreadsheet instead of JSON.", choices=("json", "csv"))

PLACE = (LIMIT, BEFORE, AFTER, FORMAT)
"""Parameters that choose the page and its form, not the entries."""

MOST = {"json": 1000, "csv": csv_text.MOST_ROWS}


@dataclass(frozen=True)
class List:
    """A page of a list with its parameters."""

    name: str
    """The key of the entries in JSON, and the name of the file."""
    path: str
    """The address for programs, relative to the root of the service."""
    values: Values
    page: Page[Any]
    columns: Sequence[str]
    """Columns of the CSV."""
    below: str = "before"
    above: str = "after"

    def older(self, path: str) -> str | None:
        """The address of the next older page below `path`; None without one."""
        end = self.page.older
        return None if end is None else self.values.address(path, **{self.below: end, self.above: None})

    def newer(self, path: str) -> str | None:
        """The address of the next newer page below `path`; None without one."""
        end = self.page.newer
        return None if end is None else self.values.address(path, **{self.above: end, self.below: None})


def limit(values: Values, usual: int = 100) -> int:
    """The number of entries to list; raises Problem 400 if it is larger than the format allows."""
    shape = values.text("format") or "json"
    chosen, most = values.whole("limit"), MOST[shape]
    if chosen is not None and chosen > most:
        raise Problem(WRONG, f"'limit' must be a whole number from 1 to {most}, not {chosen}.")
    return chosen or (most if shape == "csv" else usual)


def place(values: Values, usual: int = 100) -> Range:
    """The page that `limit`, `before` and `after` choose; raises Problem 400 for both."""
    before, after = values.whole("before"), values.whole("after")
    if before is not None and after is not None:
        raise Problem(WRONG, "Give either 'before' or 'after', not both.")
    return Range(limit(values, usual), before, after)


def reply(entries: List, root: str, more: Mapping[str, object]) -> Reply:
    """The list as JSON, with `more`, or as CSV; `root` is the path of the service's root."""
    older, newer = (find(f"{root}{entries.path}") for find in (entries.older, entries.newer))
    if entries.values.text("format") == "csv":
        return _file(entries, older)
    page = entries.page
    content = {entries.name: page.rows, "count": len(page.rows), "older": older, "newer": newer}
    return json_object({**content, "complete": page.complete, **more})


def _file(entries: List, older: str | None) -> Reply:
    headers = {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": f'attachment; filename="{entries.name}.csv"',
    }
    if older is not None:
        headers["Link"] = f'<{older}>; rel="next"'
    return Reply(csv_text.write(entries.columns, entries.page.rows), headers=headers)
