"""The command export: a version in a form that other programs can use."""

import os
from pathlib import Path
from typing import Annotated

import typer

from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, opened, version_argument
from retraind.daemon.cli.report import say
from retraind.daemon.export.format_names import Format


def export(
    version: Annotated[int, version_argument("As `retraind versions` lists them.")],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="onnx: a graph for ONNX Runtime. mlflow: a model for mlflow.pyfunc. pickle: a scikit-learn pipeline.",
        ),
    ] = Format.ONNX,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="The folder to write; default: retraind-VERSION-FORMAT here."
        ),
    ] = None,
    home: HomeOption = HERE,
    json_: JsonOption = False,
) -> None:
    """Write a version to a folder that needs nothing of retraind, with a README, an example and a model card.

    Exits 8 if this version or its model can't be exported in this format.

    Example: retraind export 3 --format onnx -o model/
    """
    place, loaded = opened(home)
    os.nice(loaded.train.nice)
    from retraind.daemon.export import writing

    out = Path(f"retraind-{version}-{form.value}") if output is None else output
    writing.require_free(out)  # before the imports, which take seconds
    from retraind.daemon.export import export as exporting

    facts = exporting.export(place, version, form, out)
    if json_:
        say.document(facts)
        return
    typer.echo(
        f"Version {version} is in {out} ({form.value}): {facts['rows']:,} rows get the service's answers "
        f"(largest difference {facts['difference']:.1g}). Start with README.md there."
    )
