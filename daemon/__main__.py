"""`python -m daemon` is `retraind`."""

import sys

# Python looks in the current folder first, where anybody may have left an orjson.py. Only the folder of this package may stay.
if not sys.flags.safe_path and not __file__.startswith(f"{sys.path[0]}/daemon/"):
    del sys.path[0]

from daemon.cli import main

main()
