"""The command line.

Data goes to standard output, messages to standard error. Exit codes are those of `retraind.daemon.core.errors.Exit`. Only the
module of the command that is called is imported, and commands import their modules when they run: `retraind --help` and
the start of `run` must not wait for MLflow.
"""

import os
import sqlite3
import sys
from importlib import import_module
from typing import Annotated

import typer
from typer._click.exceptions import ClickException  # Typer names no public base of its mistakes

from retraind import release
from retraind.daemon.cli.completion import completing
from retraind.daemon.cli.report import failures, say
from retraind.daemon.core import file_modes
from retraind.daemon.core.errors import Cause, Exit, RetraindError

COMMANDS = {
    "run": "service_commands:run",
    "serve": "service_commands:serve",
    "ingest": "drop_commands:ingest",
    "predict": "predict_command:predict",
    "explain": "predict_command:explain",
    "retrain": "model_commands:retrain",
    "promote": "model_commands:promote",
    "refuse": "model_commands:refuse",
    "rollback": "model_commands:rollback",
    "status": "service_commands:show_status",
    "top": "top.command:top",
    "versions": "model_commands:versions",
    "drops": "drop_commands:drops",
    "accept": "drop_commands:accept",
    "reject": "drop_commands:reject",
    "events": "events.command:events",
    "acknowledge": "notify_commands:acknowledge",
    "lineage": "model_commands:lineage",
    "reproduce": "model_commands:reproduce",
    "export": "export_command:export",
    "forget": "drop_commands:forget",
    "init": "schema_commands:init",
    "schema": "schema_commands:schema_",
    "doctor": "home_commands:doctor",
    "backup": "home_commands:backup",
    "restore": "home_commands:restore",
    "migrate": "home_commands:migrate",
    "claim": "home_commands:claim",
    "completion": "completion.command:completion",
    "token": "token_commands:app",
    "notify": "notify_commands:app",
}
"""The commands in the order of `--help`: modules of `retraind.daemon.cli`, and the name of the command in them."""


def application(only: str = "") -> typer.Typer:
    """The program with all its commands, or with the command `only`."""
    app = typer.Typer(
        name="retraind",
        help="A model that retrains itself from the labelled CSV files you drop into a folder.\n\nExample: retraind run --home .",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in [only] if only else COMMANDS:
        module, _, place = COMMANDS[name].partition(":")
        command = getattr(import_module(f"retraind.daemon.cli.{module}"), place)
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command(name)(command)
    app.callback()(_program)  # without it Typer would read the name of a single command as its argument
    return app


def main() -> None:
    """Entry point: an expected error becomes a sentence and an exit code, any other a traceback and exit code 1."""
    file_modes.private()
    called = _called()
    try:
        # With --json, Typer must not draw its box around a mistake.
        run = application(called if called in COMMANDS else "")
        code = run(prog_name="retraind", standalone_mode=not say.is_json())
        sys.exit(code if isinstance(code, int) else Exit.OK)
    except ClickException as error:
        sys.exit(say.failed(Cause.USAGE, Exit.USAGE, error.format_message()))
    except RetraindError as error:
        sys.exit(say.fail(error))
    except (OSError, sqlite3.Error) as error:
        expected = failures.explained(error)
        if expected is None:
            raise
        sys.exit(say.fail(expected))


def _called() -> str:
    """The name of the command, or what stands in its place; of the line that a shell completes."""
    if completing.VARIABLE not in os.environ:
        return sys.argv[1] if len(sys.argv) > 1 else ""
    completing.prepare()
    return completing.called()


def _print_release(asked: bool) -> None:
    if asked:
        typer.echo(release.sentence())
        raise typer.Exit


def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_release, is_eager=True, help="Print version and commit, and exit."),
    ] = False,
) -> None:
    """Do nothing before a command."""
