"""`python -m daemon.registry HOME`: has MLflow open and migrate the database of a home that an earlier MLflow made."""

import sys
from pathlib import Path

from daemon.core import file_modes
from daemon.core.errors import RetraindError
from daemon.core.home import Home
from daemon.registry.registry import Registry

if __name__ == "__main__":
    file_modes.private()
    try:
        Registry(Home(Path(sys.argv[1]))).open()
    except RetraindError as error:
        sys.exit(str(error))
