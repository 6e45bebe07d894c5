"""The terminal that reports are printed on."""

from rich.console import Console

# Reasons and names are text of other people: `[…]` in them is no markup.
CONSOLE = Console(markup=False, emoji=False, highlight=False)


def printable(value: object) -> str:
    """Names and reasons come from other people's files: nothing in them may steer the terminal."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
