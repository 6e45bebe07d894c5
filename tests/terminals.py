"""A terminal for tests: a program at a pseudoterminal, its keys, and the text that it shows."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

CONTROLS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>]|\][^\x07]*\x07)|[\x07\r]")
"""Sequences of ECMA-48 that show nothing."""


class Terminal:
    """A program that believes to be at a terminal of this size."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], columns: int = 80, rows: int = 24, **more: Any
    ) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self._slave)
        self.raw = ""
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY),  # noqa: PLW1509 - or Ctrl-C would be no signal
            **more,
        )

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def modes(self) -> list[Any]:
        """The modes of the terminal now, to compare with those `before`."""
        return termios.tcgetattr(self._slave)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def shows(self, text: str, seconds: float = 20) -> str:
        """Wait until it shows a text that it has not shown before; returns all that it has shown since the last call."""
        deadline = time.monotonic() + seconds
        begun = len(self.raw)
        while text not in plain(self.raw[begun:]):
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} is not shown: {plain(self.raw[begun:])[-3000:]}"
            self.read(min(left, 0.2))
        return plain(self.raw[begun:])

    def read(self, seconds: float) -> None:
        """Take what it shows within this time."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self.raw += os.read(self._master, 65536).decode(errors="replace")
            except OSError:  # EIO: the program has closed it
                time.sleep(seconds)

    def ends(self, seconds: float = 20) -> int:
        """Wait for the end of the program while its output is taken; returns its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self.read(0.05)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
        os.close(self._master)
        os.close(self._slave)


def plain(text: str) -> str:
    """A text without what moves the cursor and colours the letters."""
    return CONTROLS.sub("", text)
