"""Output of commands: facts on standard output, messages and errors on standard error; with `--json` both as JSON.

Then standard output has one JSON document, or nothing if the command fails, and each line of standard error is an
object: `{"message": …}`, an `{"error": …}`, or a line of the log. docs/cli.md describes them.
"""

import json
import sys
from typing import Any, TypedDict

import typer

from retraind.daemon.core.errors import Cause, Exit, RetraindError


class Failure(TypedDict):
    """An error that ends a command."""

    cause: Cause
    exit: int
    """The exit code, and its name."""
    name: str
    message: str
    hint: str


class MessageLine(TypedDict):
    """A line of standard error that is a message for people."""

    message: str


class FailureLine(TypedDict):
    """The last line of standard error of a command that fails."""

    error: Failure


def is_json() -> bool:
    """Whether this command line asks for JSON, even if the rest of it is wrong."""
    arguments = sys.argv[1:]
    return "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments


def say(sentence: str) -> None:
    """A message to the person, on standard error."""
    typer.echo(json.dumps({"message": sentence}) if is_json() else f"retraind: {sentence}", err=True)


def hint(sentence: str) -> None:
    """A remark or a next step, on standard error."""
    typer.echo(json.dumps({"message": sentence}) if is_json() else sentence, err=True)


def document(content: Any) -> None:
    """The facts of a command as one JSON document on standard output."""
    typer.echo(json.dumps(content))


def fail(error: RetraindError) -> Exit:
    """Report an expected error; returns the exit code."""
    return failed(error.cause, error.exit, error.message, error.hint)


def failed(cause: Cause, code: Exit, message: str, hint: str = "") -> Exit:
    """Report an error; returns its exit code."""
    if not is_json():
        typer.echo(f"retraind: {message} {hint}".rstrip(), err=True)
        return code
    line: FailureLine = {
        "error": {"cause": cause, "exit": int(code), "name": code.name, "message": message, "hint": hint}
    }
    typer.echo(json.dumps(line), err=True)
    return code
