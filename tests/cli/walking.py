"""Every command of the program with the least arguments that it takes, discovered from the program itself."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import typer.main

from retraind.daemon.cli import commands

ARGUMENT = "examples/iris-more.csv"
"""Stands for any text: a file, a name, an address."""


class Command(NamedTuple):
    """A command: its words, such as `token create`, the arguments that it requires, and the options that it takes."""

    words: str
    required: tuple[str, ...]
    options: frozenset[str]

    @property
    def line(self) -> tuple[str, ...]:
        """The command line without `--home`."""
        return (*self.words.split(), *self.required)


def every() -> list[Command]:
    """All commands, those of `token` and `notify` too."""
    return list(_walk(typer.main.get_command(commands.application()), ""))


def at_home() -> list[Command]:
    """The commands that work in a home."""
    return [command for command in every() if "--home" in command.options]


def _walk(node: Any, words: str) -> Iterator[Command]:
    if words and (not hasattr(node, "commands") or node.invoke_without_command):
        options = frozenset(option for parameter in node.params for option in parameter.opts)
        yield Command(words, tuple(_required(node)), options)
    for name, child in getattr(node, "commands", {}).items():
        yield from _walk(child, f"{words} {name}".strip())


def _required(node: Any) -> Iterator[str]:
    for parameter in node.params:
        if not parameter.required:
            continue
        if parameter.param_type_name == "option":
            yield max(parameter.opts, key=len)
        yield _value(parameter)


def _value(parameter: Any) -> str:
    described = parameter.type_descriptor
    if described.is_choice:
        return str(getattr(described.choices[0], "value", described.choices[0]))
    return "1" if described.is_ranged else ARGUMENT
