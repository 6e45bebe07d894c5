"""Running the program from a checkout, and a status as the daemon would write it."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from retraind.daemon.cli import commands
from retraind.daemon.core.home import Home
from retraind.daemon.core.status import Check, Status

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(commands.COMMANDS)
HERE: dict[str, Any] = {"env": os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}, "cwd": ROOT, "text": True}


def retraind(*arguments: object, home: Home | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    where = [] if home is None else ["--home", str(home.root)]
    command = [sys.executable, "-m", "retraind.daemon", *map(str, arguments), *where]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, **{"timeout": 180} | HERE | more
    )
    return done


def a_status(**changes: Any) -> Status:
    """The status of a daemon that this process pretends to be."""
    facts: dict[str, Any] = {
        "pid": os.getpid(),
        "state": "ready",
        "heartbeat": time.monotonic(),
        "rows": 150,
        "rows_pending": 7,
    }
    facts |= {"at": "2026-01-01T00:00:00.000Z", "started_at": "2026-01-01T00:00:00.000Z"}
    facts |= {"checks": {"disk": Check(ok=True, detail="Plenty.")}}
    return Status.model_validate(facts | changes)
