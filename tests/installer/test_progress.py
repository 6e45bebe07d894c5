import contextlib
import io
import os
import pty
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from installer.progress import Programs, Progress


def test_log_gets_a_line_for_each_step_and_repeats_it() -> None:
    stream = io.StringIO()
    with Progress(stream, repeat_seconds=0.01) as progress:
        progress.step("fetching uv")
        progress.detail("  Downloading \t uv (20 MiB)\n")
        until = time.monotonic() + 20
        while stream.getvalue().count("\n") < 2 and time.monotonic() < until:
            time.sleep(0.005)
    assert stream.getvalue().startswith("install: fetching uv\ninstall: fetching uv, 0 s")
    assert "s: Downloading uv (20 MiB)\n" in stream.getvalue()
    assert "\r" not in stream.getvalue()


def pieces(terminal: int) -> Iterator[str]:
    """What was written to a terminal that is closed by now: it comes in pieces, and an error is its end."""
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 10_000):
            yield piece.decode()


def test_terminal_has_one_line_that_is_gone_at_the_end() -> None:
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as stream, Progress(stream) as progress:
        progress.step("installing " + "x" * 500)
        progress.say("12 packages.")
    shown = "".join(pieces(reader))
    os.close(reader)
    assert "install: 12 packages.\r\n" in shown
    assert shown.endswith("\r\x1b[K")
    assert max(map(len, shown.split("\r"))) < 100, "the line fits into the terminal"


def test_program_ends_with_its_code_and_its_last_lines(tmp_path: Path) -> None:
    held = os.open(tmp_path, os.O_RDONLY)
    script = f"import os, sys; os.fstat({held}); print('\\n'.join(map(str, range(100)))); sys.exit(3)"
    with Progress(io.StringIO()) as progress:
        programs = Programs(progress, held)
        ended = programs.run([sys.executable, "-c", script], tmp_path, {})
        missing = programs.run([tmp_path / "none"], tmp_path, {})
    os.close(held)
    assert (ended.code, ended.tail.splitlines()[-2:]) == (3, ["98", "99"])
    assert missing.code == 127
    assert "none cannot be started" in missing.tail
