"""The draft of a schema, with the facts that `retraind init` shows: counts, examples, notes and wrong cells."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import csv_layout
from retraind.daemon.tabular.id_columns import called
from retraind.daemon.tabular.infer_column import FREE_TEXT

SHOWN_COLUMNS = 8


@dataclass(frozen=True)
class Finding:
    """The content of one column of the file."""

    empty: int
    missing: dict[str, int]
    """Texts read as a missing value, each with its count."""
    distinct: int
    """Different texts apart from markers; above MOST_CATEGORIES a lower bound."""
    example: str
    wrong: int
    fitting: int
    """Cells that fit the column's kind, if `wrong` is not 0."""
    slips: dict[str, int]
    """Some cells that do not fit the column's kind, each with the 1-based line of its first occurrence."""


@dataclass(frozen=True)
class Draft:
    """A schema, the columns that it leaves out, each with the reason, and a finding for each column of the file."""

    schema: Schema
    left_out: dict[str, str]
    torn: int
    """Rows with too many or too few cells."""
    findings: dict[str, Finding]
    notes: dict[str, str]
    """Remarks on unusual columns that are kept."""
    why_task: str
    """The task, and the option that chooses the other task."""
    backslashes: bool
    """True if quotes seem to be written as \\", which makes torn rows."""
    mixed: list[str] = field(default_factory=list)
    """Sentences on columns that are nearly of another kind."""

    @property
    def texts(self) -> list[str]:
        """Columns of free text that are left out, except those named like an id."""
        return [name for name, why in self.left_out.items() if why.startswith(FREE_TEXT) and not called(name)]

    @property
    def unlabelled(self) -> int:
        """Rows without a label, which no model is trained on."""
        target = self.findings[self.schema.target]
        return target.empty + sum(target.missing.values())

    BACKSLASHES = csv_layout.BACKSLASHES

    def cell_remarks(self) -> Iterator[str]:
        """Sentences about texts read as missing values, about rows without a label and about wrong cells."""
        totals: Counter[str] = Counter()
        for finding in self.findings.values():
            totals.update(finding.missing)
        for text, count in totals.items():
            places = [f"{name} {one.missing[text]}" for name, one in self.findings.items() if text in one.missing]
            more = ", …" if len(places) > SHOWN_COLUMNS else ""
            yield f"{text!r} is read as a missing value, {count} times ({', '.join(places[:SHOWN_COLUMNS])}{more})."
        if self.unlabelled:
            yield (
                f"Rows without a label, which no model is trained on: {self.unlabelled}. "
                "Drops may have them; such rows go to quarantine."
            )
        yield from self.mixed
        for name, finding in self.findings.items():
            if finding.slips:
                cells = ", ".join(f"{text!r:.40} in line {line}" for text, line in finding.slips.items())
                few = (
                    f" Only {finding.fitting} cells fit: is it of another kind?"
                    if finding.wrong > finding.fitting
                    else ""
                )
                yield f"{name!r} has {finding.wrong} wrong cells ({cells}): a row of a drop with such a cell is bad.{few}"
