"""The command line. Data goes to standard output, messages to standard error, exit codes are `daemon.core.errors.Exit`.

Commands import what they need when they run: `retraind --help` and the start of `run` must not wait for MLflow.
"""

import sys
from collections.abc import Callable

import typer

from daemon.cli import drop_commands, home_commands, model_commands, schema_commands, service_commands, token_commands
from daemon.core import file_modes
from daemon.core.errors import RetraindError

COMMANDS: dict[str, Callable[..., None]] = {
    "run": service_commands.run,
    "serve": service_commands.serve,
    "ingest": drop_commands.ingest,
    "retrain": model_commands.retrain,
    "promote": model_commands.promote,
    "refuse": model_commands.refuse,
    "rollback": model_commands.rollback,
    "status": service_commands.show_status,
    "versions": model_commands.versions,
    "drops": drop_commands.drops,
    "accept": drop_commands.accept,
    "reject": drop_commands.reject,
    "lineage": model_commands.lineage,
    "reproduce": model_commands.reproduce,
    "forget": drop_commands.forget,
    "init": schema_commands.init,
    "schema": schema_commands.schema_,
    "doctor": home_commands.doctor,
    "backup": home_commands.backup,
    "restore": home_commands.restore,
}
"""The commands in the order in which `--help` lists them."""

app = typer.Typer(
    name="retraind",
    help="A model that retrains itself from the labelled CSV files you drop into a folder.\n\nExample: retraind run --home .",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(token_commands.app)


def main() -> None:
    """Entry point: expected errors become a sentence and an exit code, others a traceback and exit code 1."""
    file_modes.private()
    try:
        app()
    except RetraindError as error:
        typer.echo(f"retraind: {error}", err=True)
        sys.exit(error.exit)
