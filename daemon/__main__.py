"""`python -m daemon` is `retraind`."""

from daemon.cli import main

main()
