"""Commands on predictions: predict answers a file, explain says what moved an answer."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from retraind.daemon.cli.completion import values
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, opened
from retraind.daemon.cli.report import say
from retraind.daemon.core import requests
from retraind.daemon.core.errors import BadSettings, Exit

if TYPE_CHECKING:
    from retraind.daemon.predicting.file_answers import Summary
    from retraind.daemon.predicting.file_job import Files


class Answered(TypedDict):
    """The answers to a file: its rows, those answered, and the bad ones with their file (None: they are in no file)."""

    version: int
    rows: int
    answered: int
    bad: int
    bad_file: str | None


SHOWN = 10
"""Number of bad rows that are printed if they go to no file."""


def predict(
    file: Annotated[str, typer.Argument(help="A CSV or Parquet file without labels; - reads CSV from standard input.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="The CSV file to write; default: standard output."),
    ] = None,
    bad: Annotated[
        Path | None,
        typer.Option("--bad", metavar="FILE", help="The file of bad rows; default: beside OUT, as OUT.bad.csv."),
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Add a column with the probability of each class.")] = False,
    version: Annotated[
        int | None,
        typer.Option(
            min=1, max=requests.LARGEST, help="Default: the version that serves.", autocompletion=values.versions
        ),
    ] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Predict the rows of a file; no service needs to run. Exits 12 if some rows are bad, 13 if all are or it is no such file.

    Example: retraind predict customers.csv -o answers.csv
    """
    place, loaded = opened(home)
    if json_ and output is None:
        raise BadSettings("--json needs -o: standard output has the answers.", hint="Name a file with -o.")
    os.nice(loaded.train.nice)
    from retraind.daemon.predicting import file_job, served_version
    from retraind.daemon.predicting.answers import Answerer

    files = file_job.Files.of(file, output, bad)
    number = served_version.served(place) if version is None else version
    partial = loaded.inbox.extra_columns == "add"
    answerer = Answerer(served_version.load(place, number), probabilities=proba, partial=partial)
    summary = file_job.run(files, answerer, loaded.inbox.max_inflated_bytes)
    _report(summary, files, json_)
    raise typer.Exit(Exit.INCOMPLETE if summary.bad else Exit.OK)


def _report(summary: "Summary", files: "Files", json_: bool) -> None:
    """Print the counts, on standard error unless they are asked for as JSON, and the first bad rows if they are in no file."""
    from retraind.daemon.cli.report.terminal import printable

    bad = str(files.bad) if summary.bad and files.bad else None
    if json_:
        answered: Answered = {
            "version": summary.version,
            "rows": summary.rows,
            "answered": summary.answered,
            "bad": len(summary.bad),
            "bad_file": bad,
        }
        say.document(answered)
        return
    rest = f", {len(summary.bad)} bad" + (f" (see {bad})" if bad else "") if summary.bad else ""
    say.say(f"version {summary.version} answered {summary.answered} of {summary.rows} rows{rest}.")
    if summary.bad and not bad:
        for one in summary.bad[:SHOWN]:
            where = f"row {one.record + 1}" + (f", {one.column}" if one.column else "")
            typer.echo(f"  {printable(where)}: {printable(one.reason)}", err=True)
        typer.echo("  --bad FILE writes all of them, with their lines.", err=True)


def explain(
    row: Annotated[str, typer.Argument(metavar="ROW", help="A row in JSON (object or list), or a prediction_id.")],
    version: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=requests.LARGEST,
            help="Default: the version that answered, or that serves.",
            autocompletion=values.versions,
        ),
    ] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Show what moved the answer to one row, by feature (Shapley values).

    Example: retraind explain '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'
    """
    place, _ = opened(home)
    from retraind.daemon.cli.report import explanation
    from retraind.daemon.predicting import explaining, served_version

    if row.lstrip().startswith(("{", "[")):
        features, answered_by = explaining.parsed(row), None
    else:
        features, answered_by = explaining.logged(place, row)
    number = version or answered_by or served_version.served(place)
    explained = explaining.explain(place, served_version.load(place, number), features)
    say.document(explained) if json_ else explanation.show(explained)
