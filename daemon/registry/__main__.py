"""`python -m retraind.daemon.registry HOME`: has MLflow open and migrate the database of a home that an earlier MLflow made."""

import sys
from pathlib import Path

from retraind.daemon.core import file_modes
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.registry.registry import Registry

if __name__ == "__main__":
    file_modes.private()
    try:
        Registry(Home(Path(sys.argv[1]))).open()
    except RetraindError as error:
        sys.exit(str(error))
