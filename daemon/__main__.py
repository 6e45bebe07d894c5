"""`retraind` and `python -m retraind.daemon`: handles signals from its first instruction on, then reads the command line.

The imports of `retraind.daemon.cli.commands` take a moment, in which the first process of a container would ignore SIGTERM.
"""

import sys

# Python looks in the current folder first, where any user may have left a signal.py. Only the folder of this package may stay.
if __name__ == "__main__" and not sys.flags.safe_path and not __file__.startswith(f"{sys.path[0]}/retraind/"):
    del sys.path[0]

import os
import signal
from types import FrameType


def main() -> None:
    """Entry point of the program."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    from retraind.daemon.core import garbage_collector

    with garbage_collector.importing():
        from retraind.daemon.cli.commands import main as command

    # From here on cleanup may be needed, so both signals end the command with an exception.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


def _leave(number: int, _frame: FrameType | None) -> None:
    """Exit at once, since no work has begun."""
    os._exit(128 + number)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
