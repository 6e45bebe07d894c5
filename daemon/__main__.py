"""`retraind` and `python -m daemon`: takes signals from its first instruction on, then reads the command line.

What `daemon.cli.commands` imports takes a moment, in which the first process of a container would not hear SIGTERM at all.
"""

import sys

# Python looks in the current folder first, where any user may have left a signal.py. Only the folder of this package may stay.
if __name__ == "__main__" and not sys.flags.safe_path and not __file__.startswith(f"{sys.path[0]}/daemon/"):
    del sys.path[0]

import os
import signal
from types import FrameType


def main() -> None:
    """Entry point of the program."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    from daemon.core import collector

    with collector.importing():
        from daemon.cli.commands import main as command

    # From here on there may be something to be tidied up, so both end the command by an exception.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


def _leave(number: int, _frame: FrameType | None) -> None:
    """Nothing has been begun."""
    os._exit(128 + number)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
