"""The console that tables and trees are printed on. It imports rich, which reports of plain lines do not wait for."""

from rich.console import Console

# Reasons and names are other people's texts, so `[…]` in them is not markup.
CONSOLE = Console(markup=False, emoji=False, highlight=False)
