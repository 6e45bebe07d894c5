"""`python -P -m installer make FOLDER LOCK`, with PYTHONPATH naming the folder of this package; deploy.sh, ci.sh and the Dockerfile run it."""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from installer import extras
from installer.environment import InstallFailed, Wanted, make
from installer.stamp import stamp


def arguments() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(prog="installer", description="Makes an environment from a lock file.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make or renew the environment in FOLDER")
    making.add_argument("folder", type=Path)
    asking = commands.add_parser("stamp", help="print what an environment depends on")
    for command in (making, asking):
        command.add_argument("lock", type=Path)
        command.add_argument("--project", type=Path, help="a folder with a pyproject.toml that is installed in place")
        command.add_argument(
            "--extras", default="", help="names of extras, whose lock files lie beside LOCK: postgres,s3"
        )
        command.add_argument(
            "--packages", type=Path, help="a file of further requirements, for candidates; it need not exist"
        )
    needing = commands.add_parser("extras", help="print the extras that the settings of a home need")
    needing.add_argument("home", type=Path)
    needing.add_argument("--environment", type=Path, help="a file with variables, a line each, as systemd reads it")
    making.add_argument("--compile", action="store_true", help="compile all modules now")
    making.add_argument("--fresh", action="store_true", help="remove packages that are not in LOCK")
    making.add_argument("--with", dest="program", choices=("uv", "pip"), default="uv")
    return parser.parse_args()


def end(number: int, _: FrameType | None) -> None:
    """Exit by an exception, so that the installing program is ended too."""
    raise SystemExit(128 + number)


def main() -> int:
    """Carry out the command; returns the exit code."""
    asked = arguments()
    if asked.command == "extras":
        sys.stdout.write(f"{','.join(extras.needed(asked.home, os.environ, asked.environment))}\n")
        return 0
    locks, project = extras.locks(asked.lock.resolve(), asked.extras), asked.project and asked.project.resolve()
    packages = asked.packages and asked.packages.resolve()
    if asked.command == "stamp":
        sys.stdout.write(f"{stamp(locks, project, packages)}\n")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    wanted = Wanted(
        asked.folder.absolute(), locks, project, asked.compile, asked.fresh, asked.program == "uv", packages
    )
    try:
        make(wanted)
    except (InstallFailed, OSError) as error:
        sys.stderr.write(f"install: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
