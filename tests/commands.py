"""Commands of the program in a process that is forked, which spares each the second in which Python starts and imports."""

import ctypes
import os
import posix
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import NoReturn

from forks import lighten

from retraind.daemon.cli import commands
from retraind.daemon.core.home import Home

ROOT = Path(__file__).parent.parent
commands.application()  # imports the modules of all commands

SEEN = {"COLUMNS": "200", "NO_COLOR": "1"}
"""What the output depends on besides its arguments: no line is broken, nothing is coloured."""


def forked(
    *arguments: object,
    home: Home | None = None,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
    confined: bool = False,
) -> CompletedProcess[str]:
    """Run `retraind ARGUMENTS` to its end, as a process with its own output and exit code.

    `env` replaces the environment, `confined`: root may then read and write its own files only. Not while this process has the home's journal open: SQLite's locks don't survive a fork.
    """
    arguments += () if home is None else ("--home", home.root)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if not pid:
            _child(
                [str(argument) for argument in arguments],
                {**os.environ, **SEEN} if env is None else env,
                cwd,
                (out.fileno(), err.fileno()),
                confined,
            )
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        return CompletedProcess([*map(str, arguments)], code, out.read().decode(), err.read().decode())


def _give_up_capabilities() -> None:
    """Make root a user like any other. Under another id it could not import, if Python is installed in root's own folder."""
    version = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
    header, none = (ctypes.c_uint32 * 2)(version, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0


def _child(
    arguments: Sequence[str], env: dict[str, str], cwd: Path, outputs: tuple[int, int], confined: bool
) -> NoReturn:
    """What the fork does; nothing of the test goes on in it."""
    code = 1
    try:
        lighten()
        os.dup2(outputs[0], 1)
        os.dup2(outputs[1], 2)
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        if confined:
            _give_up_capabilities()
        sys.argv = ["retraind", *arguments]
        commands.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the test that has forked must not go on here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        posix._exit(code)  # os._exit would first save the coverage of the whole process that has forked
