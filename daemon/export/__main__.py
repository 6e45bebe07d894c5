"""`python -P -m retraind.daemon.export HOME VERSION FORMAT FILE`: a version as a ZIP file, for the HTTP workers, which import none of this.

Exits with the code and the sentence of an expected error.
"""

import sys
from pathlib import Path

from retraind.daemon.core import file_modes
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.export.export import archive
from retraind.daemon.export.format_names import Format

if __name__ == "__main__":
    file_modes.private()
    root, number, form, file = sys.argv[1:]
    try:
        archive(Home(Path(root)), int(number), Format(form), Path(file))
    except RetraindError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit)
