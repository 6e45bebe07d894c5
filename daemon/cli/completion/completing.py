"""A shell asks this program for completions, by environment variables, instead of running a command."""

import os

VARIABLE = "_RETRAIND_COMPLETE"
"""The variable that asks, such as `complete_bash`; the others have the line."""

LINES = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
"""The variables with the line that is completed: of bash, and of zsh and fish."""


def prepare() -> None:
    """Make Typer know the shells, which it does by itself only for its own options."""
    from typer._completion_classes import completion_init

    completion_init()


def called() -> str:
    """The second word of the line: only this command's module is then imported."""
    line = next((os.environ[name] for name in LINES if name in os.environ), "")
    words = line.split()
    return words[1] if len(words) > 1 else ""
