"""Commands on the schema: init makes one from your own data, schema shows and changes it."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retraind.daemon.cli import ask_daemon
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, made, opened
from retraind.daemon.cli.report import say
from retraind.daemon.core import file_modes
from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.home import Home
from retraind.daemon.schema import schema
from retraind.daemon.schema.cell_notation import Order
from retraind.daemon.schema.class_labels import alike
from retraind.daemon.schema.schema import Schema, Task

if TYPE_CHECKING:
    from retraind.daemon.tabular.csv_profile import Choice
    from retraind.daemon.tabular.schema_draft import Draft

IGNORE = typer.Option("--ignore", metavar="COL", help="A column to ignore; repeat it for more.")
MISSING = typer.Option("--missing", metavar="TEXT", help="A text that means a missing value; repeat it.")
KIND = typer.Option(
    "--kind", metavar="COL=KIND", help="number, integer, boolean, category, date, text or ignore; repeat it."
)


def init(
    file: Annotated[Path, typer.Argument(help="A CSV file (or .csv.gz) with a header: your own data.")],
    target: Annotated[str, typer.Option("--target", help="The column to predict.")],
    task: Annotated[Task | None, typer.Option("--task", help="Default: inferred from the target.")] = None,
    dates: Annotated[
        Order | None,
        typer.Option("--dates", help="How to read dates such as 01/02/2024; yy: years of two digits, 69 is 1969."),
    ] = None,
    ignore: Annotated[list[str] | None, IGNORE] = None,
    kind: Annotated[list[str] | None, KIND] = None,
    missing: Annotated[list[str] | None, MISSING] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Infer the schema of your own data and write it, with retraind.toml.

    Example: retraind init churn.csv --target churned
    """
    place, loaded = made(home)
    from retraind.daemon.cli import schema_changes

    _require_new(place)
    kinds = schema_changes.choices(kind or []) | dict.fromkeys(ignore or [], "ignore")
    draft = _draft(file, target, task, dates, kinds, missing or [], most=loaded.inbox.max_inflated_bytes)
    _write(place, draft)
    _print_draft(draft, json_)
    steps = (
        "To correct a column: retraind schema --kind COL=KIND, --notation COL=EXAMPLE, --ignore COL, --missing TEXT."
    )
    say.hint(steps)
    say.hint(f"Next: retraind run --home {home}, then drop {file.name} into {place.inbox}.")


def _require_new(place: Home) -> None:
    """Raise BadSettings for a home that can't be made or already has a schema."""
    place.require_plain_path()
    if place.schema.exists():
        raise _has_schema(place)


def _has_schema(place: Home) -> BadSettings:
    hint = "Use another --home for other data, or change the schema with `retraind schema`."
    return BadSettings(f"{place.schema} exists: this home already has data.", hint=hint)


def _draft(
    file: Path,
    target: str,
    task: Task | None,
    dates: Order | None,
    kinds: "Mapping[str, Choice]",
    missing: Collection[str],
    *,
    most: int,
) -> "Draft":
    """The schema inferred from a file; `most`: maximum bytes of an inflated .csv.gz."""
    from retraind.daemon.tabular import infer_schema

    infer = partial(infer_schema.of, file, target, task, most, dates, missing=missing)
    draft = infer(kinds)
    if not draft.texts:
        return draft
    from retraind.daemon.cli import text_relevance  # imported here, because it needs scikit-learn

    return text_relevance.with_texts(file, draft, most, infer, kinds)


def _write(place: Home, draft: "Draft") -> None:
    """Make the home, its settings unless it has some, and its schema; raises BadSettings if it has a schema by now."""
    from retraind.daemon.core import durable
    from retraind.daemon.core.settings import settings_file
    from retraind.daemon.schema import schema_file

    place.make()
    if not place.settings.exists():
        durable.write(place.settings, settings_file.text().encode(), mode=file_modes.SETTINGS)
    if not schema_file.write(place.schema, None, draft.schema):
        raise _has_schema(place)


def _print_draft(draft: "Draft", json_: bool) -> None:
    from retraind.daemon.cli.report import schema_table
    from retraind.daemon.cli.report.terminal import printable

    lines, remarks = schema_table.of_draft(draft), list(_remarks(draft))
    if json_:
        say.document(schema_table.as_json(draft.schema, lines, remarks))
        return
    schema_table.show(lines)
    for remark in remarks:
        say.hint(printable(remark))


def _remarks(draft: "Draft") -> Iterator[str]:
    """Remarks on a draft that its table does not show."""
    from retraind.daemon.cli.report import schema_table

    if draft.schema.decimal == ",":
        yield schema_table.COMMA
    yield from draft.cell_remarks()
    for group in alike(draft.schema.classes):
        yield f"These classes differ only in case or spaces: {', '.join(map(repr, group))}. Are they the same?"
    if draft.torn:
        yield f"Skipped rows with too many or too few cells: {draft.torn}."
    if draft.backslashes:
        yield f"Rows are torn. {draft.BACKSLASHES}"
    if draft.left_out:
        yield "Drops may contain the columns of kind `ignore`; they are not read."


def schema_(
    ignore: Annotated[list[str] | None, IGNORE] = None,
    kind: Annotated[list[str] | None, KIND] = None,
    missing: Annotated[list[str] | None, MISSING] = None,
    notation: Annotated[
        list[str] | None,
        typer.Option(
            "--notation",
            metavar="COL=EXAMPLE",
            help="How a column's numbers or dates are written, by a cell: 'fee=1.234,56 €', 'joined=31.01.2024'; repeat it.",
        ),
    ] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Show, check and change the schema. A change applies from the next drop and training on, without a restart.

    Example: retraind schema --ignore customer --kind zip=category --missing NA
    """
    asked = ignore or kind or missing or notation
    place, _ = opened(home, writes=bool(asked))
    from retraind.daemon.cli.report import schema_table
    from retraind.daemon.cli.report.terminal import printable

    options = ignore or [], kind or [], missing or [], notation or []
    present, said = _changed(place, *options) if asked else (schema.require(place.schema), [])
    lines, remarks = schema_table.of_schema(present), [*said, *schema_table.remarks(present)]
    if json_:
        say.document(schema_table.as_json(present, lines, remarks))
        return
    schema_table.show(lines)
    for remark in remarks:
        say.hint(printable(remark))


def _changed(
    home: Home, ignore: list[str], kind: list[str], missing: list[str], notation: list[str]
) -> tuple[Schema, list[str]]:
    """Change the schema and print a confirmation; returns the new schema, and remarks on how stored cells fit it."""
    from retraind.daemon.cli import schema_changes  # imported here, because it needs pyarrow
    from retraind.daemon.cli.schema import notations

    ask_daemon.require_leader(home)
    kinds = schema_changes.choices(kind) | dict.fromkeys(ignore, "ignore")
    before, changed = schema_changes.change(home, kinds, missing, notation)
    if changed != before:
        say.hint("Changed; it applies from the next drop on. `retraind retrain --force` trains with it now.")
    return changed, list(notations.remarks(home, before, changed))
