"""The loop of `retraind top`: reads, draws, and waits a second or for a key."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from retraind.web.terminal import screen
from retraind.web.terminal.figures import Past
from retraind.web.terminal.sources import Silent, Source

PERIOD = 1.0
"""Seconds between two readings."""

WIDE = 400
"""Columns of the output that is not a terminal: other programs read whole lines."""

PIECE = 0.1
"""Seconds between two looks at the size of the terminal."""

QUIT = (b"q", b"Q", b"\x1b", b"\x03", b"\x04")
"""Keys that end it: q, Escape, Ctrl-C and Ctrl-D."""


class Screen:
    """What is shown, made from the source at each reading."""

    def __init__(self, source: Source) -> None:
        self._source, self._past = source, Past()
        self._last: str | None = None

    def read(self, width: int, height: int) -> list[Text]:
        """The lines of the present moment."""
        try:
            moment = self._source.now()
        except Silent as error:
            return screen.silent(str(error), self._source.name, self._last, width, height)
        self._last = moment.document["at"]
        return screen.lines(moment, self._past.add(moment), self._source.name, width, height)


def show(source: Source) -> None:
    """Show the source until q or Ctrl-C; without a terminal, print it once. Only then raises Silent."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not (console.is_terminal and sys.stdin.isatty()):
        moment = source.now()
        for line in screen.lines(moment, Past().add(moment), source.name, WIDE, sys.maxsize)[:-1]:
            console.print(line, soft_wrap=True)
        return
    with suppress(KeyboardInterrupt), _keys():
        _run(console, Screen(source))


def _run(console: Console, content: Screen) -> None:
    """Draw the content each second, and at once when the size of the terminal changes, until a key ends it."""
    with Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
        size, due = None, 0.0
        while not _quits(PIECE if size else 0.0):
            if console.size != size or time.monotonic() >= due:
                size, due = console.size, time.monotonic() + PERIOD
                live.update(Group(*content.read(size.width, size.height)), refresh=True)


@contextmanager
def _keys() -> Iterator[None]:
    """Read single keys without echo inside this context; the terminal is as before afterwards."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _quits(seconds: float) -> bool:
    """Wait for a key; whether it is one that ends the program, or the terminal is gone."""
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return False
    key = os.read(sys.stdin.fileno(), 16)
    return not key or (key[:1] in QUIT and (key[:1] != b"\x1b" or len(key) == 1))
