"""The command completion: prints the script of a shell."""

from enum import StrEnum
from typing import Annotated, TypedDict

import typer

from retraind.daemon.cli.completion.completing import VARIABLE
from retraind.daemon.cli.options import JsonOption
from retraind.daemon.cli.report import say

PROGRAM = "retraind"


class Shell(StrEnum):
    """A shell that has completion."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


class Script(TypedDict):
    """The script of a shell."""

    shell: Shell
    script: str


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell whose script is printed.")],
    json_: JsonOption = False,
) -> None:
    """Print the script by which a shell completes commands, options, versions, drops and tokens.

    Example: retraind completion bash > ~/.local/share/bash-completion/completions/retraind
    """
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell)
    if shell == Shell.ZSH:
        # As a file in $fpath, zsh runs the script's text as the function itself; its last line only serves `eval`.
        script = script.replace(f"compdef _{PROGRAM}_completion {PROGRAM}", _zsh_end())
    say.document(Script(shell=shell, script=script)) if json_ else typer.echo(script)


def _zsh_end() -> str:
    return (
        f'if [ "$funcstack[1]" = "_{PROGRAM}" ]; then\n  _{PROGRAM}_completion "$@"\nelse\n'
        f"  compdef _{PROGRAM}_completion {PROGRAM}\nfi"
    )
