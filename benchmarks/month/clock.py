"""The time of day of one service, set at will; never that of the machine."""

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True)
class Clock:
    """A library that moves the time of day of whoever loads it first, and the file that says by how much."""

    library: Path
    file: Path

    @classmethod
    def build(cls, folder: Path) -> Self | None:
        """Compile it in `folder`; None where there is no compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        clock = cls(folder / "clock.so", folder / "clock.ahead")
        clock.set(0)
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", clock.library, SOURCE], check=True)
        return clock

    def set(self, seconds: int) -> None:
        """From now on the service's clock is so many seconds ahead of the right time."""
        # In place: whoever has the file in memory sees it at once.
        with self.file.open("r+b" if self.file.exists() else "w+b") as file:
            file.write(struct.pack("q", seconds))
