"""Runs a program that gets bytes on its standard input, for a limited time."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from retraind.daemon.notify.targets.target import Undelivered
from retraind.daemon.processes.child import ELSEWHERE, environment


def run(command: Sequence[str], content: bytes, timeout_seconds: float) -> "subprocess.CompletedProcess[bytes]":
    """The ended program with its outputs; raises Undelivered if it can't be started, or does not end in time."""
    try:
        process = subprocess.Popen(
            command,
            cwd=ELSEWHERE,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that its children end with it
        )
    except OSError as error:
        raise Undelivered(f"It can't be started: {error.strerror}.") from None
    try:
        out, errors = process.communicate(content, timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        raise Undelivered(f"It did not end within {timeout_seconds:g} s.") from None
    finally:
        _end(process)
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the program and its children, if any of them still run."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()
